// SPDX-License-Identifier: Apache-2.0
// One launched grid in the hands of the scheduler. Internal to softgpu/exec.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "softgpu/exec/cluster.h"
#include "softgpu/exec/launch.h"

namespace cubar::softgpu::exec {

/// Everything but `done` is under the scheduler's mutex, `facts` excepted, which never changes.
class GridRun {
public:
    std::shared_ptr<Program> program;
    GridFacts facts;
    Executor::Completion completion;
    Scheduler* scheduler = nullptr;
    bool cooperative = false;

    uint64_t clusters = 0;
    uint64_t started = 0;
    uint64_t finished = 0;
    uint32_t running = 0;
    bool prefer_new = true;
    std::deque<std::unique_ptr<Cluster>> parked;
    std::vector<std::unique_ptr<Cluster>> idle;
    std::optional<Fault> fault;  // no cluster is started or resumed any more

    std::mutex done_mutex;
    std::condition_variable done_changed;
    bool done = false;
};

}  // namespace cubar::softgpu::exec
