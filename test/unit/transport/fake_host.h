// SPDX-License-Identifier: Apache-2.0
// A host made of threads: the memory, doorbells, a cubard that answers claims, and workers.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "cubar/layout.h"
#include "transport/descriptor.h"
#include "transport/device.h"
#include "transport/host_words.h"
#include "transport/mapping.h"
#include "transport/ring_consumer.h"

namespace cubar::transport::test {

struct HostShape {
    unsigned channels = 2;
    std::uint64_t arena_bytes = 4 * kGranuleBytes;
};

/// The shared memory with a valid header, and its eventfds.
class HostMemory {
public:
    explicit HostMemory(HostShape shape = {});

    Header& header() { return *reinterpret_cast<Header*>(memory_.data()); }
    Facts& facts();
    cubar::Channel& channel(unsigned number);
    std::byte* arena();
    SessionWords words(unsigned number) { return {header(), channel(number), number}; }

    int file() const { return file_.get(); }
    std::uint64_t bytes() const { return memory_.bytes().size(); }
    int cubard_doorbell() const { return doorbells_[0].get(); }
    int worker_doorbell(unsigned number) const { return doorbells_[number + 1].get(); }
    unsigned channels() const { return shape_.channels; }

    /// Duplicates of all descriptors in the order of transport/local_protocol.h.
    std::vector<Descriptor> pass_on() const;
    std::unique_ptr<Device> open_device() const;

private:
    HostShape shape_;
    Descriptor file_;
    Mapping memory_;
    std::vector<Descriptor> doorbells_;
};

/// What a fake worker does with a record: returns the answer's result and body.
struct Reaction {
    std::uint32_t result = 0;
    std::vector<std::byte> body;
    bool answer = true;
};
using Handler = std::function<Reaction(const Record&)>;

/// Runs one channel's ring in a thread until it goes.
class FakeWorker {
public:
    FakeWorker(HostMemory& host, unsigned channel, Handler handler);
    ~FakeWorker();

private:
    void run(const Handler& handler);

    HostMemory& host_;
    const unsigned channel_;
    Descriptor stop_;
    std::thread thread_;
};

/// Answers claims in a thread, and starts and stops workers for them, until it goes.
class FakeCubard {
public:
    explicit FakeCubard(HostMemory& host, Handler handler = {});
    ~FakeCubard();

    /// The first so many proposals of an arena address are refused.
    std::atomic<unsigned> refuse_addresses{0};
    /// What claims are refused with, unless kNone.
    std::atomic<SessionError> refuse_with{SessionError::kNone};
    /// More claims at once than this are refused with kQuota.
    std::atomic<unsigned> sessions{kMaxChannels};
    /// Releases are not finished before so many beats, at one in 5 ms.
    std::atomic<unsigned> beats_per_release{0};
    /// Releases are seen and never finished, and nothing beats.
    std::atomic<bool> stuck{false};
    std::atomic<unsigned> accepted{0};
    std::atomic<unsigned> released{0};

private:
    void run(const Handler& handler);
    void answer(unsigned channel, const Handler& handler);
    void release(unsigned channel, const ClaimSeen& claim);

    HostMemory& host_;
    Descriptor stop_;
    std::vector<std::unique_ptr<FakeWorker>> workers_;
    std::thread thread_;
};

/// Runs `body` in a forked child and returns the child's pid; the child exits with what body
/// returns.
int in_child(const std::function<int()>& body);
/// Exit code of a child; 128 + signal if it was killed.
int exit_of(int pid);

}  // namespace cubar::transport::test
