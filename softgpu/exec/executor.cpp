// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "softgpu/exec/grid.h"
#include "softgpu/exec/image.h"
#include "softgpu/exec/launch.h"
#include "softgpu/exec/work_count.h"

namespace cubar::softgpu::exec {
namespace {

// Clusters of one grid (mostly blocks) that are under way at most, finished ones aside; as a GPU
// holds some hundreds.
constexpr size_t kResidentBlocks = 256;
constexpr uint32_t kMaxThreads = 1024;
// Local memory for calls of unknown depth, as a multiple of the stack limit: frames here hold no
// spilled registers but all parameters, so their sizes differ from those of compiled code.
constexpr uint64_t kStackScale = 16;
// What grid.sync() of cooperative_groups counts in; it must be zero at the start.
constexpr uint64_t kWorkspaceBytes = 64;

// A grid of at most so many blocks for each thread of the pool is begun by the thread that waits
// for it: waking another takes longer than most such grids do. One that takes longer than this, or
// has to wait for something, goes on in the pool.
constexpr uint64_t kFewBlocks = 16;
constexpr std::chrono::microseconds kAlone{50};
// Finished blocks that are kept for other grids, each of at most so many bytes.
constexpr size_t kSpareBlocks = 16;
constexpr uint64_t kSpareBytes = uint64_t{1} << 18;

bool divides(const Dim3& cluster, const Dim3& grid) {
    return cluster.count() != 0 && grid.x % cluster.x == 0 && grid.y % cluster.y == 0 &&
           grid.z % cluster.z == 0;
}

}  // namespace

class Scheduler {
public:
    explicit Scheduler(unsigned threads) {
        if (threads == 0) threads = std::max(std::thread::hardware_concurrency(), 1u);
        for (unsigned index = 0; index < threads; ++index) {
            threads_.emplace_back([this, index] { work(index); });
        }
    }

    ~Scheduler() {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
            for (const auto& run : runs_) stop(*run, cancelled(*run));
        }
        changed_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    void add(std::shared_ptr<GridRun> run) {
        {
            const std::lock_guard lock(mutex_);
            if (ending_) stop(*run, cancelled(*run));
            runs_.push_back(std::move(run));
        }
        changed_.notify_all();
    }

    /// For a grid that add() has not seen: executes it on the calling thread. Returns when it has
    /// ended or, if it is not one of a moment, when the pool has it.
    void begin_here(const std::shared_ptr<GridRun>& run) {
        using Clock = std::chrono::steady_clock;
        if (run->clusters > kFewBlocks * threads_.size()) return add(run);
        const auto until = Clock::now() + kAlone;
        std::unique_lock lock(mutex_);
        Job job;
        while (take(run, job) && !job.finish) {
            lock.unlock();
            std::optional<Fault> fault;
            const Block::Outcome outcome = execute(job, 0, fault);
            const bool late =
                outcome == Block::Outcome::kParked || (run->clusters > 1 && Clock::now() > until);
            lock.lock();
            settle(std::move(job), outcome, std::move(fault));
            job = {};
            if (late) {
                lock.unlock();
                return add(run);
            }
        }
        lock.unlock();
        finish(*run);
    }

    void cancel(GridRun& run) {
        {
            const std::lock_guard lock(mutex_);
            stop(run, cancelled(run));
        }
        changed_.notify_all();
    }

    [[nodiscard]] unsigned threads() const { return unsigned(threads_.size()); }

    uint64_t next_grid_id() { return grid_ids_.fetch_add(1, std::memory_order_relaxed); }

private:
    struct Job {
        std::shared_ptr<GridRun> run;
        std::unique_ptr<Cluster> cluster;  // null: to be made
        uint64_t index = 0;
        bool fresh = false;
        bool finish = false;
    };

    static Fault cancelled(const GridRun& run) {
        return {FaultKind::kCancelled, 0, run.facts.kernel, 0, "the grid was cancelled"};
    }

    static void stop(GridRun& run, Fault fault) {
        if (!run.fault) run.fault = std::move(fault);
    }

    /// The next thing to do for `run`; false when all that it has is in other hands.
    bool take(const std::shared_ptr<GridRun>& run, Job& job) {
        const bool over = run->fault || run->finished == run->clusters;
        if (over) {
            if (run->running != 0) return false;
            job.finish = true;
            job.run = run;
            return true;
        }
        const size_t resident = run->running + run->parked.size();
        const bool can_start =
            run->started < run->clusters && (run->cooperative || resident < kResidentBlocks);
        const bool start = can_start && (run->parked.empty() || run->prefer_new);
        if (!start && run->parked.empty()) return false;
        run->prefer_new = run->cooperative || !start;
        job.fresh = start;
        if (start) {
            job.index = run->started++;
            if (!run->idle.empty()) {
                job.cluster = std::move(run->idle.back());
                run->idle.pop_back();
            } else {
                job.cluster = take_spare(run->facts);
            }
        } else {
            job.cluster = std::move(run->parked.front());
            run->parked.pop_front();
        }
        ++run->running;
        job.run = run;
        return true;
    }

    /// A block of an earlier grid that this one can use; null if there is none.
    std::unique_ptr<Cluster> take_spare(const GridFacts& facts) {
        for (std::unique_ptr<Cluster>& spare : spare_) {
            if (!spare->fits(facts)) continue;
            std::unique_ptr<Cluster> found = std::move(spare);
            spare = std::move(spare_.back());
            spare_.pop_back();
            found->adopt(facts);
            return found;
        }
        return nullptr;
    }

    void keep_spares(GridRun& run) {
        const std::lock_guard lock(mutex_);
        for (std::unique_ptr<Cluster>& block : run.idle) {
            if (spare_.size() >= kSpareBlocks) spare_.erase(spare_.begin());
            if (block->bytes() <= kSpareBytes) spare_.push_back(std::move(block));
        }
    }

    /// Grids take turns.
    bool find_job(Job& job) {
        for (size_t turn = 0; turn < runs_.size(); ++turn) {
            runs_.push_back(std::move(runs_.front()));
            runs_.pop_front();
            if (!take(runs_.back(), job)) continue;
            if (job.finish) runs_.pop_back();
            return true;
        }
        return false;
    }

    void work(unsigned thread) {
        std::unique_lock lock(mutex_);
        for (;;) {
            Job job;
            if (!find_job(job)) {
                if (ending_ && runs_.empty()) return;
                changed_.wait(lock);
                continue;
            }
            lock.unlock();
            if (job.finish) {
                finish(*job.run);
                job.run.reset();
                lock.lock();
                if (ending_) changed_.notify_all();
                continue;
            }
            std::optional<Fault> fault;
            const Block::Outcome outcome = execute(job, thread, fault);
            lock.lock();
            settle(std::move(job), outcome, std::move(fault));
        }
    }

    static Block::Outcome execute(Job& job, unsigned thread, std::optional<Fault>& fault) {
        const GridFacts& facts = job.run->facts;
        const WorkCount::Timer timer;
        try {
            if (!job.cluster) job.cluster = std::make_unique<Cluster>(facts);
            if (job.fresh) {
                job.cluster->start(job.index, thread % facts.facts.multiprocessors);
            }
            const Block::Outcome outcome = job.cluster->run();
            if (outcome == Block::Outcome::kFaulted) fault = job.cluster->fault();
            return outcome;
        } catch (const std::bad_alloc&) {
            fault = Fault{FaultKind::kTrap, 0, facts.kernel, 0,
                          "there is not enough memory for a block's registers"};
            return Block::Outcome::kFaulted;
        }
    }

    void settle(Job job, Block::Outcome outcome, std::optional<Fault> fault) {
        GridRun& run = *job.run;
        --run.running;
        switch (outcome) {
            case Block::Outcome::kFinished:
                ++run.finished;
                run.idle.push_back(std::move(job.cluster));
                break;
            case Block::Outcome::kParked:
            case Block::Outcome::kWaiting:
                run.parked.push_back(std::move(job.cluster));
                changed_.notify_one();
                break;
            case Block::Outcome::kFaulted:
                stop(run, std::move(*fault));
                break;
        }
    }

    void finish(GridRun& run) {
        keep_spares(run);
        run.parked.clear();
        run.idle.clear();
        run.completion(std::move(run.fault));
        run.completion = nullptr;
        run.program.reset();
        {
            const std::lock_guard lock(run.done_mutex);
            run.done = true;
        }
        run.done_changed.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<GridRun>> runs_;
    std::vector<std::unique_ptr<Cluster>> spare_;
    std::vector<std::thread> threads_;
    std::atomic<uint64_t> grid_ids_{1};
    bool ending_ = false;
};

void Grid::cancel() const {
    if (!run_ || done()) return;
    run_->scheduler->cancel(*run_);
}

bool Grid::done() const {
    if (!run_) return true;
    const std::lock_guard lock(run_->done_mutex);
    return run_->done;
}

void Grid::wait() const {
    if (!run_) return;
    std::unique_lock lock(run_->done_mutex);
    run_->done_changed.wait(lock, [this] { return run_->done; });
}

Executor::Executor(unsigned threads) : scheduler_(std::make_unique<Scheduler>(threads)) {}
Executor::~Executor() = default;

unsigned Executor::threads() const {
    return scheduler_->threads();
}

std::shared_ptr<GridRun> Executor::prepare(std::shared_ptr<Program> program, const Kernel& kernel,
                                           const LaunchConfig& config, const MemoryMap& map,
                                           Completion completion) {
    auto run = std::make_shared<GridRun>();
    run->completion = std::move(completion);
    run->scheduler = scheduler_.get();
    run->cooperative = config.cooperative;
    run->clusters = config.grid.count() / std::max<uint64_t>(config.cluster.count(), 1);
    GridFacts& facts = run->facts;
    facts.kernel = program->info(kernel).name;
    facts.map = &map;
    facts.print = config.print;
    facts.image = &program->image();
    facts.code = kernel.code.get();
    facts.facts.grid = config.grid;
    facts.facts.block = config.block;
    facts.facts.cluster = config.cluster;
    facts.facts.explicit_cluster = config.explicit_cluster;
    facts.facts.grid_id = scheduler_->next_grid_id();
    facts.facts.multiprocessors = std::max(config.multiprocessors, 1u);
    facts.facts.dynamic_shared = config.dynamic_shared;
    const uint64_t threads = config.block.count();
    const uint32_t parameter_bytes = program->info(kernel).parameter_bytes;
    const bool fits = facts.code != nullptr && threads != 0 && threads <= kMaxThreads &&
                      config.parameters.size() >= parameter_bytes &&
                      divides(config.cluster, config.grid);
    if (fits) {
        const KernelCode& code = *facts.code;
        facts.facts.threads = uint32_t(threads);
        facts.facts.warps = uint32_t((threads + kLanes - 1) / kLanes);
        facts.facts.parameter_bytes = parameter_bytes;
        facts.parameter_range = parameter_bytes;
        if (config.cooperative) {
            facts.parameter_range = align_up(parameter_bytes, 16) + kWorkspaceBytes;
        }
        facts.parameters = allocate_aligned(facts.parameter_range);
        std::memset(facts.parameters.get(), 0, facts.parameter_range);
        if (config.cooperative) {
            facts.facts.grid_workspace =
                reinterpret_cast<uint64_t>(facts.parameters.get()) + align_up(parameter_bytes, 16);
        }
        if (parameter_bytes != 0) {
            std::memcpy(facts.parameters.get(), config.parameters.data(), parameter_bytes);
        }
        facts.shared_bytes = code.static_shared;
        if (config.dynamic_shared != 0) {
            facts.shared_bytes = code.dynamic_offset() + config.dynamic_shared;
        }
        facts.facts.total_shared = uint32_t(facts.shared_bytes);
        if (code.uses_reserved_shared) {
            facts.facts.reserved_shared = uint32_t(align_up(facts.shared_bytes, 128));
            facts.shared_bytes = facts.facts.reserved_shared + kReservedShared;
        }
        facts.local_bytes = align_up(code.local_bytes, 16);
        if (code.recursive) facts.local_bytes += align_up(config.stack_bytes, 16) * kStackScale;
    } else {
        run->fault =
            Fault{FaultKind::kTrap, 0, facts.kernel, 0, "the launch does not fit the kernel"};
    }
    run->program = std::move(program);
    return run;
}

Grid Executor::launch(std::shared_ptr<Program> program, const Kernel& kernel,
                      const LaunchConfig& config, const MemoryMap& map, Completion completion) {
    auto run = prepare(std::move(program), kernel, config, map, std::move(completion));
    Grid grid(run);
    scheduler_->add(std::move(run));
    return grid;
}

std::optional<Fault> Executor::run(std::shared_ptr<Program> program, const Kernel& kernel,
                                   const LaunchConfig& config, const MemoryMap& map) {
    std::optional<Fault> result;
    const auto run = prepare(std::move(program), kernel, config, map,
                             [&](std::optional<Fault> fault) { result = std::move(fault); });
    scheduler_->begin_here(run);
    Grid(run).wait();
    return result;
}

}  // namespace cubar::softgpu::exec
