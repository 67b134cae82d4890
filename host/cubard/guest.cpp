// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/guest.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "host/cubard/ivshmem.h"

namespace cubar::host {
namespace {

transport::Descriptor new_doorbell() {
    transport::Descriptor doorbell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!doorbell) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    return doorbell;
}

std::string doorbell_name(std::size_t number) {
    return "doorbell." + std::to_string(number);
}

transport::Descriptor take(Kept& kept, const std::string& name) {
    const auto found = kept.find(name);
    if (found == kept.end()) {
        throw std::runtime_error("'" + name + "' was not kept");
    }
    return std::move(found->second);
}

std::uint32_t kept_channels(const Kept& kept) {
    std::uint32_t doorbells = 0;
    while (kept.contains(doorbell_name(doorbells))) {
        ++doorbells;
    }
    if (doorbells < 2 || doorbells > kMaxChannels + 1) {
        throw std::runtime_error("the doorbells were not kept");
    }
    return doorbells - 1;
}

MemoryPlan kept_plan(const Kept& kept) {
    const auto memory = kept.find("memory");
    const std::uint64_t bytes =
        memory != kept.end() ? sealed_memory_bytes(memory->second.get()) : 0;
    const std::uint32_t channels = kept_channels(kept);
    if (bytes < smallest_bar(channels) || bytes > kMaxBarBytes) {
        throw std::runtime_error("the memory was not kept as it was");
    }
    return {bytes, channels};
}

GuestMemory take_memory(Kept& kept) {
    const MemoryPlan plan = kept_plan(kept);  // before the file it looks at is moved away
    return {plan, take(kept, "memory")};
}

transport::Descriptor take_book(Kept& kept, const MemoryPlan& plan) {
    transport::Descriptor file = take(kept, "book");
    if (sealed_memory_bytes(file.get()) != GuestBook::bytes(plan)) {
        throw std::runtime_error("the book does not fit the memory");
    }
    return file;
}

}  // namespace

Guest::Guest(const VmConfig& config, WorkerSetting& setting, Ledger& ledger, const Facts& facts)
    : config_(config),
      setting_(setting),
      ledger_(ledger),
      facts_(facts),
      memory_(MemoryPlan{config.bar_bytes, config.channels}),
      book_(memory_.plan()),
      granules_(book_.granule_owners()),
      channels_(memory_.plan().channels),
      beat_(setting.loop, [this] { beat(); }) {
    for (std::uint32_t i = 0; i <= memory_.plan().channels; ++i) {
        doorbells_.push_back(new_doorbell());
    }
    watch_telemetry();
    memory_.begin_serving(facts, kCubardPeer, kFirstChannelPeer);
    watch_doorbell();
}

Guest::Guest(const VmConfig& config, WorkerSetting& setting, Ledger& ledger, const Facts& facts,
             Kept kept)
    : config_(config),
      setting_(setting),
      ledger_(ledger),
      facts_(facts),
      memory_(take_memory(kept)),
      book_(memory_.plan(), take_book(kept, memory_.plan())),
      granules_(book_.granule_owners()),
      channels_(memory_.plan().channels),
      beat_(setting.loop, [this] { beat(); }) {
    for (std::uint32_t i = 0; i <= memory_.plan().channels; ++i) {
        doorbells_.push_back(take(kept, doorbell_name(i)));
    }
    watch_telemetry();
    memory_.begin_serving(facts, kCubardPeer, kFirstChannelPeer);
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        Channel& channel = channels_[number];
        channel.session = book_.session(number);
        if (channel.session == 0) {
            continue;
        }
        channel.claim.number = book_.claim_number(number);
        channel.claim.boot_id = book_.boot_id();
        channel.phase = Phase::kOver;
        if (const auto pidfd = kept.find(kept_worker_name(number)); pidfd != kept.end()) {
            channel.worker = std::make_unique<WorkerProcess>(
                setting_, session_name(number), std::move(pidfd->second),
                WorkerProcess::Listener{
                    .on_message = [](const WorkerMessage&) {},
                    .on_end = [this,
                               number](const std::string& how) { on_worker_end(number, how); }});
            channel.worker->kill();
        }
        set_dead(number, SessionError::kHostRestarted);
    }
    watch_doorbell();
    on_doorbell();  // what the guest asked while nobody was there
}

Guest::~Guest() = default;

void Guest::watch_doorbell() {
    doorbell_watch_ = setting_.loop.watch(doorbells_.front().get(), EPOLLIN,
                                          [this](std::uint32_t) { on_doorbell(); });
}

void Guest::keep_in(DescriptorStore& store) {
    store_ = &store;
    const auto keep = [&](const std::string& what, int descriptor) {
        const std::string name = config_.name + "/" + what;
        store.keep(name, descriptor);
        kept_names_.push_back(name);
    };
    keep("memory", memory_.file());
    keep("book", book_.file());
    for (std::size_t i = 0; i < doorbells_.size(); ++i) {
        keep(doorbell_name(i), doorbells_[i].get());
    }
    // Of what the guest had asked while nobody was there, workers may run by now.
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        if (channels_[number].worker) {
            keep_worker(number);
        }
    }
}

void Guest::keep_worker(std::uint32_t number) {
    store_->keep(config_.name + "/" + kept_worker_name(number), channels_[number].worker->pidfd());
}

void Guest::drop_from_store() {
    if (store_ == nullptr) {
        return;
    }
    for (const std::string& name : kept_names_) {
        store_->drop(name);
    }
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        store_->drop(config_.name + "/" + kept_worker_name(number));
    }
    store_ = nullptr;
}

std::string Guest::session_name(std::uint32_t number) const {
    return config_.name + " session " + std::to_string(channels_[number].session);
}

std::uint32_t Guest::session_count() const {
    std::uint32_t count = 0;
    for (const Channel& channel : channels_) {
        count += channel.phase != Phase::kFree ? 1 : 0;
    }
    return count;
}

// --- ends ----------------------------------------------------------------------------------------

void Guest::stop(SessionError error) {
    memory_.end_serving();
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        Channel& channel = channels_[number];
        if (channel.phase == Phase::kStarting || channel.phase == Phase::kServing) {
            set_dead(number, error);
        }
        if (channel.worker) {
            channel.worker->kill();
        }
    }
}

void Guest::end(std::function<void()> on_empty) {
    bool empty = true;
    for (const Channel& channel : channels_) {
        if (channel.worker) {
            channel.worker->kill();
            empty = false;
        }
    }
    doorbell_watch_.reset();
    on_empty_ = std::move(on_empty);
    if (empty) {
        const auto callback = std::exchange(on_empty_, nullptr);
        callback();
    }
}

void Guest::client_ended(std::uint32_t pid) {
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        const Channel& channel = channels_[number];
        if (channel.phase == Phase::kFree || channel.phase == Phase::kReleasing) {
            continue;
        }
        // The channel's lock tells, unless it is still in the hands of a child; then the number of
        // the process does.
        struct flock lock {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = number;
        lock.l_len = 1;
        const bool abandoned =
            ::fcntl(memory_.file(), F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
        if (abandoned || channel.claim.pid == pid) {
            begin_release(number, channel.claim);
        }
    }
}

}  // namespace cubar::host
