// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <tuple>
#include <utility>

#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

TEST_CASE("handles of ended objects mean nothing, nor do those of other kinds", "[session]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const StreamHandle stream = fake.make_stream(context).stream;
    wire::cuStreamDestroy_v2::Reply destroyed{};
    CHECK(fake.call<wire::cuStreamDestroy_v2>(context, {}, {stream}, destroyed) == CUDA_SUCCESS);
    wire::cuStreamQuery::Request query{};
    wire::cuStreamQuery::Reply reply{};
    query.hStream = stream;
    CHECK(fake.call<wire::cuStreamQuery>(context, {}, query, reply) == CUDA_ERROR_INVALID_HANDLE);
    query.hStream = StreamHandle(context.bits());
    CHECK(fake.call<wire::cuStreamQuery>(context, {}, query, reply) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(fake.call<wire::cuStreamDestroy_v2>(context, {}, {stream}, destroyed) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(fake.driver.count("cuStreamDestroy") == 1);
    // The slot's next tenant is another stream.
    CHECK(fake.make_stream(context).stream != stream);
}

TEST_CASE("a destroyed context takes what lived in it along", "[session]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const ContextHandle other = fake.make_context();
    const StreamHandle stream = fake.make_stream(context).stream;
    const unsigned locked = fake.driver.count("cuMemHostRegister");
    CHECK(locked == 1);
    wire::cuCtxDestroy_v2::Request request{};
    request.context = context;
    wire::cuCtxDestroy_v2::Reply reply{};
    REQUIRE(fake.call<wire::cuCtxDestroy_v2>({}, {}, request, reply) == CUDA_SUCCESS);
    wire::cuStreamQuery::Request query{};
    query.hStream = stream;
    wire::cuStreamQuery::Reply queried{};
    CHECK(fake.call<wire::cuStreamQuery>(other, {}, query, queried) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(fake.call<wire::cuStreamQuery>(context, {}, {}, queried) == CUDA_ERROR_INVALID_CONTEXT);
    // What it had page-locked for all is locked again through the other one.
    CHECK(fake.driver.count("cuMemHostRegister") == locked + 1);
    CHECK(fake.call<wire::cuCtxDestroy_v2>({}, {}, request, reply) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("a thread's stream is destroyed with the thread", "[session]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    wire::thread_stream::Reply reply{};
    REQUIRE(fake.call<wire::thread_stream>(context, {}, {}, reply) == CUDA_SUCCESS);
    fake.post<wire::thread_end>({}, {}, {});
    while (fake.driver.count("cuStreamDestroy") == 0) std::this_thread::yield();
    wire::cuStreamQuery::Request query{};
    query.hStream = reply.stream;
    wire::cuStreamQuery::Reply queried{};
    CHECK(fake.call<wire::cuStreamQuery>(context, {}, query, queried) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("a launch whose parameter block is too short is refused", "[session]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const std::string ptx = ".version 8.0\n.target sm_75\n.address_size 64\n";
    wire::image_begin::Request begin{};
    begin.bytes = ptx.size();
    wire::image_begin::Reply begun{};
    REQUIRE(fake.call<wire::image_begin>({}, {}, begin, begun) == CUDA_SUCCESS);
    wire::arena_lease::Request lease{};
    lease.bytes = 1;
    wire::arena_lease::Reply leased{};
    REQUIRE(fake.call<wire::arena_lease>(context, {}, lease, leased) == CUDA_SUCCESS);
    CHECK(leased.registered == 1);
    const auto memory = fake.session().arena().bytes(leased.offset, ptx.size());
    REQUIRE(memory.size() == ptx.size());
    std::memcpy(memory.data(), ptx.data(), ptx.size());
    wire::image_part::Request part{};
    part.arena_offset = leased.offset;
    part.bytes = ptx.size();
    part.upload = begun.upload;
    wire::image_part::Reply sent{};
    REQUIRE(fake.call<wire::image_part>({}, {}, part, sent) == CUDA_SUCCESS);
    CHECK(fake.call<wire::image_part>({}, {}, part, sent) == CUDA_ERROR_INVALID_VALUE);

    wire::cuModuleLoadDataEx::Request load{};
    load.upload = begun.upload;
    wire::cuModuleLoadDataEx::Reply loaded{};
    REQUIRE(fake.call<wire::cuModuleLoadDataEx>(context, {}, load, loaded) == CUDA_SUCCESS);
    const std::string name = "kernel";
    wire::cuModuleGetFunction::Request get{};
    get.module = loaded.module;
    get.payload_bytes = static_cast<std::uint32_t>(name.size());
    wire::cuModuleGetFunction::Reply got{};
    REQUIRE(fake.call<wire::cuModuleGetFunction>(context, {}, get, got,
                                                 std::as_bytes(std::span(name))) == CUDA_SUCCESS);
    CHECK(got.parameter_count == 2);
    CHECK(got.parameter_bytes == 16);
    CHECK(got.parameter[1] == (8u << 16 | 8u));
    wire::cuModuleGetFunction::Reply again{};
    REQUIRE(fake.call<wire::cuModuleGetFunction>(context, {}, get, again,
                                                 std::as_bytes(std::span(name))) == CUDA_SUCCESS);
    CHECK(again.function == got.function);

    const std::array<std::byte, 16> block{};
    wire::cuLaunchKernel::Request launch{};
    launch.function = got.function;
    launch.payload_bytes = 16;
    fake.post<wire::cuLaunchKernel>(context, {}, launch, block);
    launch.payload_bytes = 8;
    const Position refused =
        fake.post<wire::cuLaunchKernel>(context, {}, launch, std::span(block).first(8));
    wire::cuStreamQuery::Reply queried{};
    CHECK(fake.call<wire::cuStreamQuery>(context, {}, {}, queried) == CUDA_SUCCESS);
    CHECK(fake.driver.count("cuLaunchKernel 16") == 1);
    CHECK(fake.driver.count("cuLaunchKernel 8") == 0);
    CHECK(fake.control().error_code.load() == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.control().error_position.load() == refused);
}

TEST_CASE("what is printed comes by descriptor, each in its order", "[session]") {
    FakeSession fake;
    const auto fetch = [&] {
        wire::output::Reply reply{};
        REQUIRE(fake.call<wire::output>({}, {}, {}, reply) == CUDA_SUCCESS);
        return reply;
    };
    const auto text = [](const wire::output::Reply& reply) {
        return std::string(reinterpret_cast<const char*>(reply.text), reply.bytes);
    };
    while (fetch().bytes != 0) {
    }
    std::fprintf(stderr, "an assert failed\n");
    std::printf("first, ");
    std::printf("second\n");
    std::fprintf(stderr, "and another\n");
    wire::output::Reply reply = fetch();
    CHECK(reply.descriptor == STDOUT_FILENO);
    CHECK(text(reply) == "first, second\n");
    CHECK(reply.left == 29);
    reply = fetch();
    CHECK(reply.descriptor == STDERR_FILENO);
    CHECK(text(reply) == "an assert failed\nand another\n");
    CHECK(reply.left == 0);

    // More than an answer holds comes in several.
    const std::string most(sizeof reply.text + 5, 'x');
    std::fputs(most.c_str(), stderr);
    reply = fetch();
    CHECK(reply.bytes == sizeof reply.text);
    CHECK(reply.left == 5);
    CHECK(text(fetch()) == "xxxxx");
    CHECK(fetch().bytes == 0);
}

TEST_CASE("device output that nobody fetches is bounded, and what was dropped is told",
          "[session]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const StreamHandle stream = fake.make_stream(context).stream;
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kDropped = std::size_t{3} << 20;
    constexpr std::size_t kMost = host::OutputCapture::kMostKept;
    const auto memory = [] {
        struct stat file {};
        REQUIRE(fstat(STDOUT_FILENO, &file) == 0);
        return static_cast<std::size_t>(file.st_blocks) * 512;
    };
    const auto fetch = [&] {
        wire::output::Reply reply{};
        REQUIRE(fake.call<wire::output>({}, {}, {}, reply) == CUDA_SUCCESS);
        return std::make_pair(std::string(reinterpret_cast<const char*>(reply.text), reply.bytes),
                              reply.left);
    };
    while (fetch().second != 0) {
    }
    std::string lines;
    for (std::size_t i = 0; i < (kMost + kDropped) / kLine; ++i) {
        char line[kLine + 1];
        std::snprintf(line, sizeof line, "%063zu\n", i);
        lines += line;
    }
    REQUIRE(write(STDOUT_FILENO, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()));
    wire::cuStreamSynchronize::Request request{};
    request.hStream = stream;
    wire::cuStreamSynchronize::Reply reply{};
    REQUIRE(fake.call<wire::cuStreamSynchronize>(context, stream, request, reply) == CUDA_SUCCESS);
    // The text is dropped after the answer.
    while (memory() > kMost + (std::size_t{1} << 20)) std::this_thread::yield();

    std::string told;
    for (auto [text, left] = fetch();; std::tie(text, left) = fetch()) {
        told += text;
        if (left == 0) break;
    }
    const std::string note = "[cubar: " + std::to_string(kDropped) +
                             " bytes of device output were dropped here: synchronise more often]\n";
    CHECK(told.substr(0, note.size()) == note);
    CHECK(told.size() == note.size() + kMost);
    CHECK(told.compare(note.size(), kMost, lines, kDropped, kMost) == 0);
}
