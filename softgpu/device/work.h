// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "softgpu/device/address_space.h"
#include "softgpu/device/stream.h"
#include "softgpu/device/task.h"

namespace cubar::softgpu::device {

/// What one operation does, whether it stands in a stream or is a node of a graph: both run the
/// same object. Never changed once it is made, so graphs, their clones and launches in flight share
/// it; to change a node's parameters is to give the node another Work.
class Work {
public:
    explicit Work(CUgraphNodeType kind) : type_(kind) {}
    virtual ~Work() = default;

    [[nodiscard]] CUgraphNodeType type() const { return type_; }
    /// Does it, in that stream's order. May run at the same time in several streams. Nothing for
    /// what is done by where it stands: an order, or the nodes of a child graph.
    virtual void run(Stream& /*stream*/) const {}
    /// False for what must run on the stream's own thread: functions of the application.
    [[nodiscard]] virtual bool may_move() const { return true; }
    /// True for what takes next to no time and waits for nothing.
    [[nodiscard]] virtual bool brief() const { return false; }

protected:
    Work(const Work&) = default;
    Work(Work&&) = default;
    Work& operator=(const Work&) = default;
    Work& operator=(Work&&) = default;

private:
    CUgraphNodeType type_;
};

using WorkRef = std::shared_ptr<const Work>;

/// True when these bytes may be touched now that the work runs, perhaps long after it was made, and
/// in the order of allocations in streams. Else the context faults, as if a kernel had touched
/// them.
bool may_touch(Stream& stream, Address address, std::size_t bytes);

/// A work's turn in a stream.
class WorkTask final : public Task {
public:
    explicit WorkTask(WorkRef work) : work_(std::move(work)) {}
    void run(Stream& stream) override { work_->run(stream); }
    [[nodiscard]] bool may_move() const override { return work_->may_move(); }

private:
    const WorkRef work_;
};

}  // namespace cubar::softgpu::device
