// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/cluster.h"

#include <algorithm>

namespace cubar::softgpu::exec {
namespace {

Dim3 place(uint64_t number, const Dim3& shape) {
    return {uint32_t(number % shape.x), uint32_t(number / shape.x % shape.y),
            uint32_t(number / shape.x / shape.y)};
}

}  // namespace

Cluster::Cluster(const GridFacts& grid) : grid_(grid.facts.grid), shape_(grid.facts.cluster) {
    for (uint64_t rank = 0; rank < shape_.count(); ++rank) {
        blocks_.push_back(std::make_unique<Block>(grid, *this));
    }
}

bool Cluster::fits(const GridFacts& grid) const {
    return grid.facts.cluster.count() == blocks_.size() && blocks_.front()->fits(grid);
}

void Cluster::adopt(const GridFacts& grid) {
    grid_ = grid.facts.grid;
    shape_ = grid.facts.cluster;
    for (const auto& block : blocks_) block->adopt(grid);
}

uint64_t Cluster::bytes() const {
    return blocks_.front()->bytes() * blocks_.size();
}

void Cluster::start(uint64_t number, uint32_t multiprocessor) {
    const Dim3 first = place(number, {grid_.x / shape_.x, grid_.y / shape_.y, grid_.z / shape_.z});
    left_.clear();
    faulted_ = nullptr;
    for (uint32_t rank = 0; rank < blocks_.size(); ++rank) {
        const Dim3 at = place(rank, shape_);
        blocks_[rank]->start(
            {first.x * shape_.x + at.x, first.y * shape_.y + at.y, first.z * shape_.z + at.z}, rank,
            multiprocessor);
        left_.push_back(blocks_[rank].get());
    }
}

Block::Outcome Cluster::run() {
    for (;;) {
        bool parked = false;
        for (size_t index = 0; index < left_.size();) {
            Block& block = *left_[index];
            switch (block.run()) {
                case Block::Outcome::kFinished:
                    left_.erase(left_.begin() + std::ptrdiff_t(index));
                    continue;
                case Block::Outcome::kFaulted:
                    faulted_ = &block;
                    return Block::Outcome::kFaulted;
                case Block::Outcome::kParked:
                    parked = true;
                    break;
                case Block::Outcome::kWaiting:
                    break;
            }
            ++index;
        }
        if (left_.empty()) return Block::Outcome::kFinished;
        if (parked) return Block::Outcome::kParked;
        const bool can_go_on = std::any_of(left_.begin(), left_.end(),
                                           [](const Block* block) { return block->can_run(); });
        if (can_go_on) continue;
        faulted_ = left_.front();
        return faulted_->deadlock();
    }
}

char* Cluster::shared(uint64_t offset, uint64_t size, uint32_t own) const {
    const uint64_t window = offset / kClusterStride;
    const uint64_t rank = window == 0 ? own : window - 1;
    return rank < blocks_.size() ? blocks_[rank]->shared(offset % kClusterStride, size) : nullptr;
}

void Cluster::release_barrier() {
    for (const auto& block : blocks_) {
        if (!block->is_at_cluster_barrier()) return;
    }
    for (const auto& block : blocks_) block->release(kClusterBarrier);
}

char* cluster_shared(Warp& warp, uint64_t offset, uint64_t size) {
    return warp.block->cluster().shared(offset, size, warp.facts->cluster_rank);
}

}  // namespace cubar::softgpu::exec
