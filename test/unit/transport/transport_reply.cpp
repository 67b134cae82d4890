// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "fake_host.h"
#include "transport/channel.h"

namespace cubar::transport::test {

namespace {

constexpr std::uint32_t kEcho = 1;    ///< answers with the request's bytes
constexpr std::uint32_t kSilent = 2;  ///< never answers
constexpr std::uint32_t kLong = 3;    ///< answers with as many bytes as the request says

Reaction react(const Record& record) {
    Reaction reaction;
    reaction.result = record.header().opcode;
    std::uint64_t number = 0;
    std::memcpy(&number, record.body().data(), sizeof number);
    switch (record.header().opcode) {
        case kEcho:
            reaction.body.assign(record.body().begin(), record.body().begin() + 8);
            break;
        case kLong:
            reaction.body.assign(number, std::byte{static_cast<unsigned char>(number)});
            break;
        default:
            reaction.answer = false;
    }
    return reaction;
}

struct Session {
    HostMemory host;
    FakeCubard cubard{host, react};
    std::unique_ptr<Device> device = host.open_device();
    std::unique_ptr<Channel> channel = std::move(*Channel::open(*device));
};

std::span<const std::byte> bytes_of(const std::uint64_t& value) {
    return std::as_bytes(std::span(&value, 1));
}

}  // namespace

TEST_CASE("A call brings its own answer, from many threads at once", "[reply]") {
    Session session;
    constexpr unsigned kThreads = 4;
    constexpr std::uint64_t kEach = 2000;
    std::atomic<unsigned> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
            for (std::uint64_t i = 0; i < kEach; ++i) {
                const std::uint64_t asked = i << 8 | thread;
                std::uint64_t told = 0;
                const Answer answer =
                    session.channel->call({kEcho, thread, 0, 0}, bytes_of(asked), {},
                                          std::as_writable_bytes(std::span(&told, 1)));
                const bool right = answer.error == Error::kNone && answer.result == kEcho &&
                                   answer.bytes == 8 && told == asked;
                wrong += right ? 0 : 1;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    REQUIRE(wrong == 0);
}

TEST_CASE("More calls than slots wait for one", "[reply]") {
    Session session;
    constexpr unsigned kThreads = 80;
    std::atomic<unsigned> right{0};
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&] {
            for (std::uint64_t i = 0; i < 20; ++i) {
                std::uint64_t told = 0;
                session.channel->call({kEcho, 1, 0, 0}, bytes_of(i), {},
                                      std::as_writable_bytes(std::span(&told, 1)));
                right += told == i ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    REQUIRE(right == kThreads * 20);
}

TEST_CASE("Bodies from nothing to a page come whole", "[reply]") {
    Session session;
    const std::uint64_t bytes =
        GENERATE(std::uint64_t{0}, kInlineReplyBytes, kInlineReplyBytes + 1, kLongReplyBytes);
    std::array<std::byte, kLongReplyBytes> body{};
    const Answer answer = session.channel->call({kLong, 1, 0, 0}, bytes_of(bytes), {}, body);
    REQUIRE(answer.error == Error::kNone);
    REQUIRE(answer.bytes == bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        REQUIRE(body[i] == std::byte{static_cast<unsigned char>(bytes)});
    }
}

TEST_CASE("A body that the caller did not expect breaks the protocol", "[reply]") {
    Session session;
    std::array<std::byte, 8> body{};
    const std::uint64_t bytes = 9;
    REQUIRE(session.channel->call({kLong, 1, 0, 0}, bytes_of(bytes), {}, body).error ==
            Error::kProtocolBroken);
}

TEST_CASE("The writer refuses slots and bodies that there are not", "[reply]") {
    HostMemory host;
    ReplyWriter writer(host.channel(0), WaitPolicy::kVm);
    const std::vector<std::byte> body(kLongReplyBytes + 1);
    REQUIRE(writer.write(kReplySlots, 0, 0, {}) == Error::kProtocolBroken);
    REQUIRE(writer.write(0, 0, 0, body) == Error::kTooLarge);
    REQUIRE(writer.write(kNoReply, 0, 0, body) == Error::kNone);
}

TEST_CASE("Waiting ends at the caller's limit, and the slot is not used again", "[reply]") {
    Session session;
    std::uint64_t told = 0;
    const auto reply = std::as_writable_bytes(std::span(&told, 1));
    const std::uint64_t asked = 5;
    REQUIRE(session.channel
                ->call({kSilent, 1, 0, 0}, bytes_of(asked), {}, reply, now() + 10 * kMillisecond)
                .error == Error::kTimedOut);
    REQUIRE(session.channel->call({kEcho, 1, 0, 0}, bytes_of(asked), {}, reply).error ==
            Error::kNone);
    REQUIRE(told == 5);
    REQUIRE(session.host.channel(0).reply[0].state.load() ==
            static_cast<std::uint32_t>(SlotState::kPending));
}

TEST_CASE("A host without a pulse is taken for dead, one with a pulse is not", "[reply]") {
    Session session;
    std::uint64_t told = 0;
    const auto reply = std::as_writable_bytes(std::span(&told, 1));
    const std::uint64_t asked = 5;
    const Nanoseconds start = now();
    SECTION("none") {
        REQUIRE(session.channel->call({kSilent, 1, 0, 0}, bytes_of(asked), {}, reply).error ==
                Error::kHostSilent);
        const Nanoseconds waited = now() - start;
        REQUIRE(waited >= kSilenceMs * kMillisecond);
        REQUIRE(waited < 2000 * kMillisecond);
    }
    SECTION("beating") {
        std::atomic<bool> stop{false};
        std::thread pulse([&] {
            Heartbeat heartbeat(session.host.channel(0).control);
            while (!stop) {
                heartbeat.beat();
                std::this_thread::yield();
            }
        });
        REQUIRE(session.channel
                    ->call({kSilent, 1, 0, 0}, bytes_of(asked), {}, reply,
                           start + (kSilenceMs + 300) * kMillisecond)
                    .error == Error::kTimedOut);
        stop = true;
        pulse.join();
    }
    SECTION("session ended meanwhile") {
        std::thread host([&] {
            while (session.channel->position() == 0) {
                std::this_thread::yield();
            }
            session.host.words(0).dead(SessionError::kWorkerDied);
        });
        REQUIRE(session.channel->call({kSilent, 1, 0, 0}, bytes_of(asked), {}, reply).error ==
                Error::kSessionDead);
        REQUIRE(session.channel->session_error() == SessionError::kWorkerDied);
        host.join();
    }
}

TEST_CASE("A broken record ends the session for its guest", "[reply][malformed]") {
    Session session;
    session.host.channel(0).control.tail.store(8);
    session.device->ring_doorbell(session.host.header().first_channel_peer);
    while (session.channel->status() == Error::kNone) {
        std::this_thread::yield();
    }
    REQUIRE(session.channel->session_error() == SessionError::kProtocolBroken);
}

TEST_CASE("Fences", "[fence]") {
    Session session;
    FenceWriter writer(session.host.channel(0));
    REQUIRE_FALSE(session.channel->reached(3, 100));
    writer.write(3, 100);
    REQUIRE(session.channel->reached(3, 100));
    REQUIRE(session.channel->reached(3, 99));
    REQUIRE_FALSE(session.channel->reached(3, 101));
    REQUIRE_FALSE(session.channel->reached(2, 1));
    REQUIRE_FALSE(session.channel->reached(kNoFence, 0));
    REQUIRE_FALSE(session.channel->reached(kFences, 0));
    REQUIRE(session.channel->wait_fence(3, 100) == Error::kNone);
    REQUIRE(session.channel->wait_fence(3, 101, now() + kMillisecond) == Error::kTimedOut);
    writer.write(3, 50);
    REQUIRE(session.channel->reached(3, 100));
    std::thread gpu([&] { writer.write(3, 200); });
    REQUIRE(session.channel->wait_fence(3, 200) == Error::kNone);
    gpu.join();
}

TEST_CASE("The first deferred error stands until it is cleared", "[fence]") {
    Session session;
    ErrorWord word(session.host.channel(0).control);
    REQUIRE(session.channel->deferred_error() == 0);
    REQUIRE(word.set(700, 4096, 17));
    REQUIRE_FALSE(word.set(1, 8192, 18));
    REQUIRE(session.channel->deferred_error() == 700);
    REQUIRE(session.channel->deferred_error_position() == 4096);
    REQUIRE(session.channel->deferred_error_context() == 17);
    word.clear();
    REQUIRE(session.channel->deferred_error() == 0);
}

}  // namespace cubar::transport::test
