// SPDX-License-Identifier: Apache-2.0
// The toy API's generated guest, wire and host code, linked together without a ring between.
#ifndef __CUDA_API_VERSION_INTERNAL
#define __CUDA_API_VERSION_INTERNAL
#endif
#include <cuda.h>

#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "cubar/host/dispatch.h"
#include "cubar/wire.h"
#include "driver/symbols.h"
#include "host/worker/session.h"
#include "libcuda/call.h"
#include "transport/ring_consumer.h"

namespace {

using namespace cubar;

host::Session session;
unsigned records = 0;
std::uint64_t last_header_stream = 0;

struct Seen {
    CUstream stream = nullptr;
    CUstream other = nullptr;
    CUevent event = nullptr;
    unsigned number = 0;
    std::vector<std::uint64_t> numbers;
    std::string text;
    std::array<unsigned char, 64> bytes{};
} seen;

template <typename T>
T object(Kind kind, std::uint32_t index) {
    return reinterpret_cast<T>(static_cast<std::uintptr_t>(AnyHandle(kind, 1, index).bits()));
}

template <typename T>
std::uintptr_t address(T* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

/// Begins a case with nothing seen and a driver that has no function.
void reset() {
    session.own_driver = {};
    seen = {};
    records = 0;
    last_header_stream = 0;
}

}  // namespace

namespace cubar::guest {

CUresult carry(Opcode opcode, StreamHandle stream, std::span<const std::byte> request,
               std::span<const std::byte> payload, std::span<std::byte> reply) {
    ++records;
    last_header_stream = stream.bits();
    RecordHeader header{};
    header.opcode = static_cast<std::uint32_t>(opcode);
    header.stream = stream.bits();
    std::vector<std::byte> body(request.begin(), request.end());
    body.insert(body.end(), payload.begin(), payload.end());
    body.resize(record_bytes(body.size()));
    const host::Dispatch* entry = host::find_dispatch(header.opcode);
    REQUIRE(entry != nullptr);
    REQUIRE(entry->answers == !reply.empty());
    REQUIRE(host::well_formed(*entry, body));
    std::vector<std::byte> answer(entry->reply_bytes);
    const CUresult result = entry->run(session, transport::Record(header, body), answer.data());
    if (!reply.empty()) {
        REQUIRE(reply.size() == answer.size());
        std::memcpy(reply.data(), answer.data(), answer.size());
    }
    return result;
}

CUresult body_cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream) {
    seen.numbers = {dst, src, bytes};
    seen.stream = stream;
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest

// The toy's hand-written parts.
extern "C" CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    wire::cuModuleGetFunction::Request request{};
    if (const CUresult bad = guest::handle_of(module, request.module); bad != CUDA_SUCCESS)
        return bad;
    request.payload_bytes = static_cast<std::uint32_t>(std::strlen(name));
    wire::cuModuleGetFunction::Reply reply{};
    const CUresult result = guest::call<wire::cuModuleGetFunction>(
        request, reply, std::as_bytes(std::span(name, request.payload_bytes)));
    *function = reinterpret_cast<CUfunction>(static_cast<std::uintptr_t>(reply.function.bits()));
    return result;
}

extern "C" CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction, void**, void**) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    seen.stream = config->hStream;
    return CUDA_SUCCESS;
}

extern "C" CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

namespace cubar::host {

CUresult handle_cuModuleGetFunction(Session&, const transport::Record&,
                                    const wire::cuModuleGetFunction::Request& request,
                                    std::span<const std::byte> payload,
                                    wire::cuModuleGetFunction::Reply& reply) {
    seen.number = request.module.index();
    seen.text.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
    reply.function = FunctionHandle(3, 4);
    return CUDA_SUCCESS;
}

CUresult handle_nudge(Session&, const transport::Record&, const wire::nudge::Request&,
                      std::span<const std::byte>, wire::nudge::Reply&) {
    ++seen.number;
    return CUDA_SUCCESS;
}

}  // namespace cubar::host

TEST_CASE("a plain call carries values both ways") {
    reset();
    session.own_driver.cuCtxGetLimit = [](size_t* value, CUlimit limit) {
        seen.number = limit;
        *value = 0x1234'5678'9abc;
        return CUDA_SUCCESS;
    };
    size_t value = 0;
    CHECK(cuCtxGetLimit(&value, CU_LIMIT_MALLOC_HEAP_SIZE) == CUDA_SUCCESS);
    CHECK(value == 0x1234'5678'9abc);
    CHECK(seen.number == CU_LIMIT_MALLOC_HEAP_SIZE);
}

TEST_CASE("a failed call leaves the caller's memory alone") {
    reset();
    session.own_driver.cuCtxGetLimit = [](size_t* value, CUlimit) {
        *value = 1;
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    };
    size_t value = 77;
    CHECK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE) == CUDA_ERROR_UNSUPPORTED_LIMIT);
    CHECK(value == 77);
}

TEST_CASE("a null pointer is refused without a record") {
    reset();
    size_t offset = 0;
    CHECK(cuCtxGetLimit(nullptr, CU_LIMIT_STACK_SIZE) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuFuncGetParamInfo(object<CUfunction>(Kind::kFunction, 1), 0, &offset, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuStreamSetAttribute(nullptr, CU_LAUNCH_ATTRIBUTE_PRIORITY, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(records == 0);
}

TEST_CASE("handles are checked in the guest and again in the host") {
    reset();
    session.own_driver.cuStreamCopyAttributes = [](CUstream to, CUstream from) {
        seen.stream = to;
        seen.other = from;
        return CUDA_SUCCESS;
    };
    const auto one = object<CUstream>(Kind::kStream, 1);
    CHECK(cuStreamCopyAttributes(one, object<CUstream>(Kind::kStream, 2)) == CUDA_SUCCESS);
    CHECK(address(seen.stream) == 1);
    CHECK(address(seen.other) == 2);

    records = 0;
    CHECK(cuStreamCopyAttributes(one, object<CUstream>(Kind::kStream, 98)) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamCopyAttributes(one, object<CUstream>(Kind::kEvent, 2)) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(records == 0);

    seen = {};
    CHECK(cuStreamCopyAttributes(one, object<CUstream>(Kind::kStream, 99)) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(records == 1);
    CHECK(seen.stream == nullptr);
}

TEST_CASE("a structure crosses byte by byte") {
    reset();
    session.own_driver.cuStreamSetAttribute = [](CUstream, CUstreamAttrID id,
                                                 const CUstreamAttrValue* value) {
        seen.number = id;
        std::memcpy(seen.bytes.data(), value, seen.bytes.size());
        return CUDA_SUCCESS;
    };
    session.own_driver.cuStreamGetAttribute = [](CUstream stream, CUstreamAttrID,
                                                 CUstreamAttrValue* value) {
        seen.stream = stream;
        std::memcpy(value, seen.bytes.data(), seen.bytes.size());
        return CUDA_SUCCESS;
    };
    CUstreamAttrValue given{};
    for (unsigned i = 0; i < 64; ++i) {
        reinterpret_cast<unsigned char*>(&given)[i] = static_cast<unsigned char>(3 * i + 1);
    }
    const auto stream = object<CUstream>(Kind::kStream, 6);
    CHECK(cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, &given) == CUDA_SUCCESS);
    CHECK(seen.number == CU_LAUNCH_ATTRIBUTE_PRIORITY);
    CUstreamAttrValue got{};
    CHECK(cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, &got) == CUDA_SUCCESS);
    using Bytes = std::array<unsigned char, sizeof got>;
    CHECK(std::bit_cast<Bytes>(given) == std::bit_cast<Bytes>(got));
    CHECK(address(seen.stream) == 6);
}

TEST_CASE("an async call names its stream in the header") {
    reset();
    session.own_driver.cuStreamWaitEvent = [](CUstream stream, CUevent event, unsigned flags) {
        seen.stream = stream;
        seen.event = event;
        seen.number = flags;
        return CUDA_ERROR_ILLEGAL_STATE;
    };
    const auto stream = object<CUstream>(Kind::kStream, 7);
    CHECK(cuStreamWaitEvent(stream, object<CUevent>(Kind::kEvent, 8), 5) ==
          CUDA_ERROR_ILLEGAL_STATE);
    CHECK(last_header_stream == address(stream));
    CHECK(address(seen.stream) == 7);
    CHECK(address(seen.event) == 8);
    CHECK(seen.number == 5);
    CHECK(sizeof(wire::cuStreamWaitEvent::Request) == 16);
}

TEST_CASE("narrow values and devices arrive") {
    reset();
    session.own_driver.cuMemsetD2D16Async = [](CUdeviceptr to, size_t pitch, unsigned short value,
                                               size_t width, size_t height, CUstream) {
        seen.numbers = {to, pitch, value, width, height};
        return CUDA_SUCCESS;
    };
    CHECK(cuMemsetD2D16Async(0x7f00'0000'0000, 512, 0xabcd, 33, 44, nullptr) == CUDA_SUCCESS);
    CHECK(seen.numbers == std::vector<std::uint64_t>{0x7f00'0000'0000, 512, 0xabcd, 33, 44});
    CHECK(last_header_stream == 0);

    session.own_driver.cuKernelSetCacheConfig = [](CUkernel kernel, CUfunc_cache config,
                                                   CUdevice device) {
        seen.numbers = {address(kernel), config, static_cast<std::uint64_t>(device)};
        return CUDA_SUCCESS;
    };
    const auto kernel = object<CUkernel>(Kind::kKernel, 5);
    CHECK(cuKernelSetCacheConfig(kernel, CU_FUNC_CACHE_PREFER_L1, 1) == CUDA_SUCCESS);
    CHECK(seen.numbers == std::vector<std::uint64_t>{5, CU_FUNC_CACHE_PREFER_L1, 6});
    CHECK(cuKernelSetCacheConfig(kernel, CU_FUNC_CACHE_PREFER_L1, 2) == CUDA_ERROR_INVALID_DEVICE);
}

TEST_CASE("two answers go to their own places") {
    reset();
    session.own_driver.cuFuncGetParamInfo = [](CUfunction, size_t index, size_t* offset,
                                               size_t* size) {
        *offset = 100 + index;
        *size = 200 + index;
        return CUDA_SUCCESS;
    };
    size_t offset = 0, size = 0;
    CHECK(cuFuncGetParamInfo(object<CUfunction>(Kind::kFunction, 1), 3, &offset, &size) ==
          CUDA_SUCCESS);
    CHECK(offset == 103);
    CHECK(size == 203);
}

TEST_CASE("a function that the host's driver lacks is not supported") {
    reset();
    size_t value = 0;
    CHECK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(records == 1);
}

TEST_CASE("a payload arrives without the record's padding") {
    reset();
    CUfunction function = nullptr;
    CHECK(cuModuleGetFunction(&function, object<CUmodule>(Kind::kModule, 9), "saxpy") ==
          CUDA_SUCCESS);
    CHECK(seen.text == "saxpy");
    CHECK(seen.number == 9);
    CHECK(address(function) == FunctionHandle(3, 4).bits());
}

TEST_CASE("malformed bodies are told from good ones") {
    const host::Dispatch* plain = host::find_dispatch(0x008);
    REQUIRE(plain != nullptr);
    const std::vector<std::byte> bytes(64);
    CHECK_FALSE(host::well_formed(*plain, std::span(bytes).first(0)));
    CHECK_FALSE(host::well_formed(*plain, std::span(bytes).first(15)));
    CHECK(host::well_formed(*plain, std::span(bytes).first(16)));

    const host::Dispatch* named = host::find_dispatch(0xfff);
    REQUIRE(named != nullptr);
    wire::cuModuleGetFunction::Request request{};
    std::vector<std::byte> body(sizeof request + 8);
    for (const auto& [count, good] : std::vector<std::pair<std::uint32_t, bool>>{
             {0, true}, {8, true}, {9, false}, {0x7fff'ffff, false}, {0xffff'ffff, false}}) {
        request.payload_bytes = count;
        std::memcpy(body.data(), &request, sizeof request);
        INFO(count);
        CHECK(host::well_formed(*named, body) == good);
    }
}

TEST_CASE("only described opcodes are found") {
    for (std::uint32_t opcode : {0u, 9u, 0xffu, 0x101u, 0xffeu, 0x1000u, 0xffff'ffffu}) {
        CHECK(host::find_dispatch(opcode) == nullptr);
    }
    REQUIRE(host::find_dispatch(0x100) != nullptr);
    CHECK(std::string(host::find_dispatch(0x100)->name) == "nudge");
    CHECK_FALSE(host::find_dispatch(0x100)->needs_context);
    CHECK_FALSE(host::find_dispatch(0x100)->answers);
    CHECK(host::find_dispatch(0x007)->offload);

    std::array<std::uint8_t, 512> set{};
    host::describe_opcodes(set);
    CHECK(set[0] == 0xfe);
    CHECK(set[1] == 0x01);
    CHECK(set[0x100 / 8] == 0x01);
    CHECK(set[511] == 0x80);
    std::array<std::uint8_t, 2> small{};
    host::describe_opcodes(small);
    CHECK(small[0] == 0xfe);
}

TEST_CASE("per-thread variants put the thread's stream for stream 0 only") {
    reset();
    session.own_driver.cuStreamCopyAttributes = [](CUstream to, CUstream from) {
        seen.stream = to;
        seen.other = from;
        return CUDA_SUCCESS;
    };
    CUlaunchConfig config{};
    CHECK(cuLaunchKernelEx_ptsz(&config, nullptr, nullptr, nullptr) == CUDA_SUCCESS);
    CHECK(seen.stream == CU_STREAM_PER_THREAD);
    CHECK(config.hStream == nullptr);
    config.hStream = CU_STREAM_LEGACY;
    CHECK(cuLaunchKernelEx_ptsz(&config, nullptr, nullptr, nullptr) == CUDA_SUCCESS);
    CHECK(seen.stream == CU_STREAM_LEGACY);
    CHECK(cuLaunchKernelEx_ptsz(nullptr, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);

    CHECK(cuMemcpyDtoD_v2(1, 2, 3) == CUDA_SUCCESS);
    CHECK(seen.stream == CU_STREAM_LEGACY);
    CHECK(cuMemcpyDtoD_v2_ptds(4, 5, 6) == CUDA_SUCCESS);
    CHECK(seen.stream == CU_STREAM_PER_THREAD);
    CHECK(seen.numbers == std::vector<std::uint64_t>{4, 5, 6});

    const auto one = object<CUstream>(Kind::kStream, 1);
    CHECK(cuStreamCopyAttributes_ptsz(one, one) == CUDA_SUCCESS);
    CHECK(address(seen.stream) == 1);
    // The toy's guest does not know CU_STREAM_PER_THREAD, so its handle check tells that it came.
    CHECK(cuStreamCopyAttributes_ptsz(one, nullptr) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamCopyAttributes(one, nullptr) == CUDA_SUCCESS);
}

TEST_CASE("what is not there says so and is not found") {
    CHECK(cuGraphLaunch(nullptr, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuGraphLaunch_ptsz(nullptr, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuDeviceGetLuid(nullptr, nullptr, 0) == CUDA_ERROR_NOT_SUPPORTED);
    void* found = &found;
    CHECK(driver::get_proc_address("cuGraphLaunch", &found, 13000, 0) == CUDA_ERROR_NOT_FOUND);
    CHECK(found == nullptr);
    CHECK(driver::get_proc_address("cuMemcpyDtoD", &found, 13000, 2) == CUDA_SUCCESS);
    CHECK(found == reinterpret_cast<void*>(&cuMemcpyDtoD_v2_ptds));
    CHECK(driver::get_proc_address("cuMemcpyDtoD", &found, 13000, 0) == CUDA_SUCCESS);
    CHECK(found == reinterpret_cast<void*>(&cuMemcpyDtoD_v2));
}

TEST_CASE("the symbol table is sorted") {
    const auto table = driver::symbol_table();
    CHECK(table.size() == 22);
    for (std::size_t i = 1; i < table.size(); ++i) {
        const auto& a = table[i - 1];
        const auto& b = table[i];
        const int names = std::strcmp(a.name, b.name);
        CHECK((names < 0 || (names == 0 && (a.version < b.version ||
                                            (a.version == b.version && !a.per_thread)))));
    }
}
