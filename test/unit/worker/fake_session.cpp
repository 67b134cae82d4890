// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cubar::host::test {
namespace {

/// Takes this process's standard output over, once: it stays so.
OutputCapture& shared_output() {
    static OutputCapture output;
    return output;
}

}  // namespace

FakeCubard::FakeCubard(std::uint64_t quota) : quota_(quota) {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    own_ = transport::Descriptor(ends[0]);
    worker_ = transport::Descriptor(ends[1]);
    thread_ = std::thread([this] { run(); });
}

FakeCubard::~FakeCubard() {
    shutdown(own_.get(), SHUT_RDWR);
    thread_.join();
}

void FakeCubard::run() {
    std::byte packet[sizeof(WorkerMessage)];
    std::uint64_t next_granule = 0;
    for (;;) {
        const ssize_t length = recv(own_.get(), packet, sizeof packet, 0);
        if (length <= 0) return;
        const auto asked =
            decode_worker_message(std::span(packet).first(static_cast<std::size_t>(length)));
        if (!asked) return;
        HostMessage answer{.kind = HostSays::kAnswer, .number = asked->number};
        switch (asked->kind) {
            case WorkerSays::kCharge:
                if (asked->bytes > quota_ - used_) {
                    answer.verdict = Verdict::kQuota;
                } else {
                    used_ += asked->bytes;
                }
                break;
            case WorkerSays::kCredit:
                used_ -= asked->bytes;
                break;
            case WorkerSays::kUsage:
                answer.usage = {used_, quota_, std::uint64_t{8} << 30};
                break;
            case WorkerSays::kLease:
                answer.first_granule = next_granule;
                next_granule += asked->bytes;
                break;
            default:
                break;
        }
        send(own_.get(), &answer, sizeof answer, MSG_NOSIGNAL);
    }
}

FakeSession::FakeSession(std::uint64_t quota, bool fences, std::uint64_t context_bytes)
    : cubard(quota), output_(shared_output()) {
    memory_ = transport::Descriptor(memfd_create("worker-test", MFD_CLOEXEC));
    REQUIRE(ftruncate(memory_.get(), sizeof(Channel) + kArenaBytes) == 0);
    void* mapped =
        mmap(nullptr, sizeof(Channel), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
    REQUIRE(mapped != MAP_FAILED);
    channel_ = static_cast<Channel*>(mapped);
    doorbell_ = transport::Descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    stop_ = transport::Descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    control().session_state.store(static_cast<std::uint32_t>(SessionState::kReady));

    liveness_.emplace(header_, control(), 0);
    wait_.emplace(transport::WaitContext{transport::WaitPolicy::kLocal,
                                         transport::MemoryType::kWriteBack, budget_, forecast_,
                                         control().worker_cpu, control().guest_cpu, *liveness_});
    replies_store_.emplace(channel_->reply, &channel_->long_reply[0][0], *wait_);

    control_client_.emplace(cubard.take_worker_end());
    control_client_->start([] {});
    arena_.emplace(ArenaView::Place{memory_.get(), sizeof(Channel), kArenaBytes, 0},
                   *control_client_, driver.table);
    REQUIRE(arena_->reserve());
    session_.emplace(Session::Parts{.driver = driver.table,
                                    .channel = *channel_,
                                    .control = *control_client_,
                                    .arena = *arena_,
                                    .output = output_,
                                    .fences = fences,
                                    .context_bytes = {context_bytes}});
    offload_.emplace();
    pulse_.emplace(control(), [this] { return offload_->running() != 0; });
    ring_.emplace(control(), channel_->ring, transport::WaitPolicy::kLocal, doorbell_.get());
    writer_.emplace(*channel_, transport::WaitPolicy::kLocal);
    executor_ = std::make_unique<Executor>(
        Executor::Parts{*session_, *ring_, *writer_, *offload_, *pulse_});
    thread_ = std::thread([this] {
        broken_.store(executor_->run(stop_.get()));
        broken_.notify_all();
    });
}

FakeSession::~FakeSession() {
    const std::uint64_t one = 1;
    REQUIRE(::write(stop_.get(), &one, sizeof one) == sizeof one);
    thread_.join();
    session_->host_calls.close();
    offload_.reset();  // waits for its jobs, which use the rest
    pulse_.reset();
    executor_.reset();
    session_.reset();
    arena_.reset();
    munmap(channel_, sizeof(Channel));
}

Position FakeSession::write(const RecordHeader& header, std::span<const std::byte> body) {
    const std::lock_guard lock(ring_mutex_);
    std::vector<std::byte> record(sizeof header);
    record.insert(record.end(), body.begin(), body.end());
    record.resize(record_bytes(record.size()));
    RecordHeader whole = header;
    whole.bytes = static_cast<std::uint32_t>(record.size());
    std::memcpy(record.data(), &whole, sizeof whole);
    for (std::size_t i = 0; i < record.size(); ++i) {
        channel_->ring[(tail_ + i) % kRingBytes] = record[i];
    }
    tail_ += record.size();
    control().tail.store(tail_, std::memory_order_seq_cst);
    if (control().worker_sleeping.load(std::memory_order_seq_cst) != 0) {
        const std::uint64_t one = 1;
        REQUIRE(::write(doorbell_.get(), &one, sizeof one) == sizeof one);
    }
    return tail_;
}

ContextHandle FakeSession::make_context() {
    wire::cuCtxCreate_v2::Reply reply{};
    REQUIRE(call<wire::cuCtxCreate_v2>({}, {}, {}, reply) == CUDA_SUCCESS);
    return reply.context;
}

wire::cuStreamCreateWithPriority::Reply FakeSession::make_stream(ContextHandle context,
                                                                 unsigned flags) {
    wire::cuStreamCreateWithPriority::Request request{};
    request.flags = flags;
    wire::cuStreamCreateWithPriority::Reply reply{};
    REQUIRE(call<wire::cuStreamCreateWithPriority>(context, {}, request, reply) == CUDA_SUCCESS);
    return reply;
}

GraphExecHandle FakeSession::make_exec(ContextHandle context, GraphHandle graph) {
    wire::cuGraphInstantiateWithParams::Request request{};
    request.graph = graph;
    wire::cuGraphInstantiateWithParams::Reply reply{};
    REQUIRE(call<wire::cuGraphInstantiateWithParams>(context, {}, request, reply) == CUDA_SUCCESS);
    return reply.exec;
}

std::string FakeSession::broken() {
    broken_.wait(nullptr);
    return broken_.load();
}

void FakeSession::await_fence(std::uint32_t fence, Position position) {
    while (channel_->fence[fence].load(std::memory_order_acquire) < position) {
        std::this_thread::yield();
    }
}

}  // namespace cubar::host::test
