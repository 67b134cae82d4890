// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

wire::cuMemsetD8Async::Request memset_to(std::uint8_t value) {
    wire::cuMemsetD8Async::Request request{};
    request.uc = value;
    request.N = 1;
    return request;
}

/// An answered call that does nothing: what came before it has been executed.
void settle(FakeSession& fake, ContextHandle context, StreamHandle stream) {
    wire::cuStreamQuery::Request request{};
    request.hStream = stream;
    wire::cuStreamQuery::Reply reply{};
    CHECK(fake.call<wire::cuStreamQuery>(context, stream, request, reply) == CUDA_SUCCESS);
}

}  // namespace

TEST_CASE("records are executed in their order, and the fence follows when the ring is empty",
          "[executor]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const auto stream = fake.make_stream(context, CU_STREAM_NON_BLOCKING);
    REQUIRE(stream.fence != kNoFence);
    Position last = 0;
    for (std::uint8_t value = 1; value <= 100; ++value) {
        last = fake.post<wire::cuMemsetD8Async>(context, stream.stream, memset_to(value));
    }
    fake.await_fence(stream.fence, last);
    unsigned next = 1;
    for (const std::string& call : fake.driver.calls()) {
        if (call.starts_with("cuMemsetD8Async")) {
            CHECK(call == "cuMemsetD8Async " + std::to_string(next++));
        }
    }
    CHECK(next == 101);
    CHECK(fake.channel().fence[stream.fence].load() == last);
}

TEST_CASE("without fences no stream has one, and nothing is written", "[executor]") {
    FakeSession fake(FakeSession::kQuota, false);
    const ContextHandle context = fake.make_context();
    const auto stream = fake.make_stream(context, CU_STREAM_NON_BLOCKING);
    CHECK(stream.fence == kNoFence);
    fake.post<wire::cuMemsetD8Async>(context, stream.stream, memset_to(1));
    fake.post<wire::cuMemsetD8Async>(context, {}, memset_to(2));
    settle(fake, context, stream.stream);
    settle(fake, context, {});
    CHECK(fake.driver.count("cuMemsetD8Async 1") == 1);
    CHECK(fake.driver.count("cuMemsetD8Async 2") == 1);
    CHECK(fake.driver.count("cuStreamWriteValue64") == 0);
}

TEST_CASE("the legacy stream's fence is not written once others wait for it", "[executor]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    fake.post<wire::cuMemsetD8Async>(context, {}, memset_to(1));
    settle(fake, context, {});
    const auto blocking = fake.make_stream(context);
    // The writes so far: settle() and make_stream() came after the flush, or before it.
    settle(fake, context, {});
    const unsigned before = fake.driver.count("cuStreamWriteValue64");
    fake.post<wire::cuMemsetD8Async>(context, {}, memset_to(2));
    const Position last = fake.post<wire::cuMemsetD8Async>(context, blocking.stream, memset_to(3));
    fake.await_fence(blocking.fence, last);
    CHECK(fake.driver.count("cuStreamWriteValue64") == before + 1);
}

TEST_CASE("a call that blocks delays no other, and answers come in any order", "[executor]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const auto stream = fake.make_stream(context, CU_STREAM_NON_BLOCKING);
    Gate gate;
    fake.driver.gate = &gate;
    wire::cuStreamSynchronize::Request request{};
    request.hStream = stream.stream;
    auto first = fake.begin<wire::cuStreamSynchronize>(context, stream.stream, request);
    auto second = fake.begin<wire::cuStreamSynchronize>(context, stream.stream, request);
    gate.await_visitor();
    for (int round = 0; round < 10; ++round) settle(fake, context, stream.stream);
    // Neither another call that may block.
    wire::cuMemGetInfo_v2::Reply info{};
    CHECK(fake.call<wire::cuMemGetInfo_v2>(context, {}, {}, info) == CUDA_SUCCESS);
    gate.open();
    wire::cuStreamSynchronize::Reply reply{};
    CHECK(second.wait(reply) == CUDA_SUCCESS);
    CHECK(first.wait(reply) == CUDA_SUCCESS);
}

TEST_CASE("a call that may block starts after everything before it was issued", "[executor]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const auto stream = fake.make_stream(context, CU_STREAM_NON_BLOCKING);
    wire::cuStreamSynchronize::Request request{};
    request.hStream = stream.stream;
    for (unsigned round = 1; round <= 20; ++round) {
        fake.post<wire::cuMemsetD8Async>(context, stream.stream,
                                         memset_to(static_cast<std::uint8_t>(round)));
        wire::cuStreamSynchronize::Reply reply{};
        CHECK(fake.call<wire::cuStreamSynchronize>(context, stream.stream, request, reply) ==
              CUDA_SUCCESS);
        const auto calls = fake.driver.calls();
        const auto wrote =
            std::find(calls.begin(), calls.end(), "cuMemsetD8Async " + std::to_string(round));
        REQUIRE(wrote != calls.end());
        CHECK(std::find(wrote, calls.end(), "cuStreamSynchronize") != calls.end());
    }
}

TEST_CASE("the heartbeat goes on while a call blocks", "[executor]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    Gate gate;
    fake.driver.gate = &gate;
    auto blocked = fake.begin<wire::cuStreamSynchronize>(context, {}, {});
    gate.await_visitor();
    const std::uint64_t before = fake.control().heartbeat.load();
    while (fake.control().heartbeat.load() < before + 2) std::this_thread::yield();
    gate.open();
    wire::cuStreamSynchronize::Reply reply{};
    CHECK(blocked.wait(reply) == CUDA_SUCCESS);
}

TEST_CASE("errors that no reply carries go to the error word", "[executor]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    ChannelControl& control = fake.control();
    fake.driver.fail("cuMemsetD8Async 1", CUDA_ERROR_INVALID_VALUE);
    fake.driver.fail("cuMemsetD8Async 2", CUDA_ERROR_OUT_OF_MEMORY);
    fake.driver.fail("cuMemsetD8Async 3", CUDA_ERROR_ILLEGAL_ADDRESS);
    const Position first = fake.post<wire::cuMemsetD8Async>(context, {}, memset_to(1));
    fake.post<wire::cuMemsetD8Async>(context, {}, memset_to(2));
    settle(fake, context, {});
    CHECK(control.error_code.load() == CUDA_ERROR_INVALID_VALUE);
    CHECK(control.error_position.load() == first);
    CHECK(control.error_context.load() == context.bits());

    SECTION("one that ends the context takes the place of one that does not") {
        fake.post<wire::cuMemsetD8Async>(context, {}, memset_to(3));
        settle(fake, context, {});
        CHECK(control.error_code.load() == CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    SECTION("so does one that a reply carries") {
        fake.driver.fail("cuStreamQuery", CUDA_ERROR_LAUNCH_FAILED);
        wire::cuStreamQuery::Reply reply{};
        CHECK(fake.call<wire::cuStreamQuery>(context, {}, {}, reply) == CUDA_ERROR_LAUNCH_FAILED);
        CHECK(control.error_code.load() == CUDA_ERROR_LAUNCH_FAILED);
    }
    SECTION("the end of the context clears it") {
        wire::cuCtxDestroy_v2::Request request{};
        request.context = context;
        wire::cuCtxDestroy_v2::Reply reply{};
        CHECK(fake.call<wire::cuCtxDestroy_v2>({}, {}, request, reply) == CUDA_SUCCESS);
        CHECK(control.error_code.load() == CUDA_SUCCESS);
    }
}

TEST_CASE("records that no honest guest writes end the session", "[executor]") {
    FakeSession fake;
    const auto opcode = static_cast<std::uint32_t>(wire::cuMemsetD8Async::kOpcode);
    const std::vector<std::byte> request(sizeof(wire::cuMemsetD8Async::Request));
    SECTION("no such opcode") {
        fake.write({0, 0xfff, kNoReply, 1, 0, 0}, request);
    }
    SECTION("too short") {
        fake.write({0, opcode, kNoReply, 1, 0, 0}, std::span(request).first(8));
    }
    SECTION("an answer to what has none") {
        fake.write({0, opcode, 3, 1, 0, 0}, request);
    }
    SECTION("no answer to what has one") {
        fake.write(
            {0, static_cast<std::uint32_t>(wire::cuCtxSynchronize::kOpcode), kNoReply, 1, 0, 0},
            {});
    }
    SECTION("a payload that is not there") {
        wire::copy_inline::Request copy{};
        copy.payload_bytes = 1000;
        fake.post<wire::copy_inline>({}, {}, copy);
    }
    CHECK(!fake.broken().empty());
}
