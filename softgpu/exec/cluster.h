// SPDX-License-Identifier: Apache-2.0
// Blocks that are under way together. Internal to softgpu/exec.
#pragma once

#include <memory>
#include <vector>

#include "softgpu/exec/block.h"

namespace cubar::softgpu::exec {

/// The blocks of one cluster; mostly one. They take turns on one thread, so that nothing between
/// them needs a lock: they reach each other's shared memory and meet at a barrier.
class Cluster {
public:
    explicit Cluster(const GridFacts& grid);
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    /// True if it has ended and can be used for that other grid too.
    [[nodiscard]] bool fits(const GridFacts& grid) const;
    /// Makes it one of that grid's; start() comes next. The grid before may be gone.
    void adopt(const GridFacts& grid);
    /// What its blocks hold on to, shared and local memory.
    [[nodiscard]] uint64_t bytes() const;

    /// Makes it the cluster with that number, at its first instructions. Memory is reused.
    void start(uint64_t number, uint32_t multiprocessor);
    /// Executes until all blocks have ended or each has had its time. Never kWaiting.
    Block::Outcome run();
    /// After kFaulted.
    [[nodiscard]] const Fault& fault() const { return faulted_->fault(); }

    // For its blocks.
    [[nodiscard]] size_t size() const { return blocks_.size(); }
    /// `size` bytes of shared memory at an offset in the window of all blocks of the cluster, as
    /// the block of rank `own` sees it; null if there are not so many.
    [[nodiscard]] char* shared(uint64_t offset, uint64_t size, uint32_t own) const;
    /// Lets all go on that wait for the cluster, if all have arrived.
    void release_barrier();

private:
    Dim3 grid_;
    Dim3 shape_;
    std::vector<std::unique_ptr<Block>> blocks_;
    std::vector<Block*> left_;  // that have not ended
    Block* faulted_ = nullptr;
};

}  // namespace cubar::softgpu::exec
