// SPDX-License-Identifier: Apache-2.0
// A worker's session in one process: the executor on a thread, a guest that writes its ring, a
// cubard that keeps a small ledger, and a driver that writes down what it is asked.
#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "cubar/wire.h"
#include "fake_driver.h"
#include "host/common/control_client.h"
#include "host/worker/arena_view.h"
#include "host/worker/executor.h"
#include "host/worker/output_capture.h"
#include "host/worker/pulse.h"
#include "transport/reply.h"

namespace cubar::host::test {

/// Answers the worker's questions in a thread.
class FakeCubard {
public:
    explicit FakeCubard(std::uint64_t quota);
    ~FakeCubard();
    transport::Descriptor take_worker_end() { return std::move(worker_); }
    std::uint64_t used() const { return used_.load(); }

private:
    void run();

    transport::Descriptor own_;
    transport::Descriptor worker_;
    const std::uint64_t quota_;
    std::atomic<std::uint64_t> used_{0};
    std::thread thread_;
};

class FakeSession {
public:
    static constexpr std::uint64_t kQuota = 1 << 20;
    static constexpr std::uint64_t kArenaBytes = 4 * kGranuleBytes;

    explicit FakeSession(std::uint64_t quota = kQuota, bool fences = true,
                         std::uint64_t context_bytes = 0);
    ~FakeSession();
    FakeSession(const FakeSession&) = delete;
    FakeSession& operator=(const FakeSession&) = delete;

    FakeDriver driver;
    FakeCubard cubard;

    Channel& channel() { return *channel_; }
    ChannelControl& control() { return channel_->control; }
    Session& session() { return *session_; }

    /// Writes a record as it is, and returns the position of its end.
    Position write(const RecordHeader& header, std::span<const std::byte> body);

    template <typename W>
    Position post(ContextHandle context, StreamHandle stream, const typename W::Request& request,
                  std::span<const std::byte> payload = {}, std::uint32_t slot = kNoReply) {
        std::vector<std::byte> body(sizeof request + payload.size());
        std::memcpy(body.data(), &request, sizeof request);
        if (!payload.empty()) {
            std::memcpy(body.data() + sizeof request, payload.data(), payload.size());
        }
        return write(
            {0, static_cast<std::uint32_t>(W::kOpcode), slot, 1, context.bits(), stream.bits()},
            body);
    }

    /// A call under way; its answer is waited for later.
    class Pending {
    public:
        Pending(transport::ReplySlots::Slot slot, Position position)
            : slot_(std::move(slot)), position_(position) {}
        template <typename Reply>
        CUresult wait(Reply& reply) {
            const transport::Answer answer =
                slot_.wait(std::as_writable_bytes(std::span(&reply, 1)), transport::now() + kLimit);
            REQUIRE(answer.error == transport::Error::kNone);
            CHECK(answer.position == position_);
            return static_cast<CUresult>(answer.result);
        }

    private:
        // Only a broken worker makes a test wait so long.
        static constexpr transport::Nanoseconds kLimit = 60'000 * transport::kMillisecond;
        transport::ReplySlots::Slot slot_;
        Position position_;
    };

    template <typename W>
    Pending begin(ContextHandle context, StreamHandle stream, const typename W::Request& request,
                  std::span<const std::byte> payload = {}) {
        transport::ReplySlots::Slot slot = replies_.take();
        const std::uint32_t index = slot.index();
        return {std::move(slot), post<W>(context, stream, request, payload, index)};
    }

    template <typename W>
    CUresult call(ContextHandle context, StreamHandle stream, const typename W::Request& request,
                  typename W::Reply& reply, std::span<const std::byte> payload = {}) {
        return begin<W>(context, stream, request, payload).wait(reply);
    }

    ContextHandle make_context();
    wire::cuStreamCreateWithPriority::Reply make_stream(ContextHandle context, unsigned flags = 0);

    GraphExecHandle make_exec(ContextHandle context, GraphHandle graph);

    /// Waits until the executor has found the stream broken, and says why.
    std::string broken();
    /// Waits until the fence is at the position or later.
    void await_fence(std::uint32_t fence, Position position);

private:
    transport::Descriptor memory_;
    Channel* channel_ = nullptr;
    transport::Descriptor doorbell_;
    transport::Descriptor stop_;
    Header header_{};
    std::mutex ring_mutex_;
    Position tail_ = 0;

    transport::SpinBudget budget_;
    transport::Forecast forecast_;
    std::optional<transport::Liveness> liveness_;
    std::optional<transport::WaitContext> wait_;
    std::optional<transport::ReplySlots> replies_store_;

    std::optional<ControlClient> control_client_;
    std::optional<ArenaView> arena_;
    OutputCapture& output_;
    std::optional<Session> session_;
    std::optional<OffloadPool> offload_;
    std::optional<Pulse> pulse_;
    std::optional<transport::RingConsumer> ring_;
    std::optional<transport::ReplyWriter> writer_;
    std::unique_ptr<Executor> executor_;
    std::atomic<const char*> broken_{nullptr};
    std::thread thread_;

    struct Replies {
        FakeSession& owner;
        transport::ReplySlots::Slot take() { return owner.replies_store_->take(); }
    } replies_{*this};
};

}  // namespace cubar::host::test
