// SPDX-License-Identifier: Apache-2.0
#include <cuda.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#define SUCCEEDS(call) REQUIRE((call) == CUDA_SUCCESS)

namespace {

// add(values, amount, count): values[i] += amount; out(): writes to address 8; spin(word): until
// set.
constexpr const char* kPtx = R"(
.version 7.5
.target sm_75
.address_size 64

.global .align 4 .u32 counter = 5;

.visible .entry add(.param .u64 values, .param .u32 amount, .param .u32 count)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [values];
    ld.param.u32 %r1, [amount];
    ld.param.u32 %r2, [count];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r6, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r6, %r2;
    @%p1 bra done;
    mul.wide.u32 %rd2, %r6, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r7, [%rd3];
    add.s32 %r7, %r7, %r1;
    st.global.u32 [%rd3], %r7;
done:
    ret;
}

.visible .entry out()
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<2>;
    mov.u64 %rd1, 8;
    mov.u32 %r1, 1;
    st.global.u32 [%rd1], %r1;
    ret;
}

.visible .entry small() .maxntid 64, 1, 1
{
    ret;
}
)";

struct Context {
    Context() {
        SUCCEEDS(cuInit(0));
        SUCCEEDS(cuCtxCreate(&context, nullptr, 0, 0));
    }
    ~Context() { cuCtxDestroy(context); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    CUcontext context = nullptr;
};

struct Code : Context {
    Code() { SUCCEEDS(cuModuleLoadData(&module, kPtx)); }

    CUfunction function(const char* name) {
        CUfunction found = nullptr;
        SUCCEEDS(cuModuleGetFunction(&found, module, name));
        return found;
    }
    CUmodule module = nullptr;
};

/// A word that streams wait for.
struct Word {
    Word() {
        SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&value), 4, 0));
        *value = 0;
    }
    ~Word() { cuMemFreeHost(value); }
    Word(const Word&) = delete;
    Word& operator=(const Word&) = delete;

    void hold(CUstream stream) {
        SUCCEEDS(cuStreamWaitValue32(stream, reinterpret_cast<CUdeviceptr>(value), 1,
                                     CU_STREAM_WAIT_VALUE_EQ));
    }
    void release() { std::atomic_ref(*value).store(1, std::memory_order_release); }

    std::uint32_t* value = nullptr;
};

}  // namespace

// First, before anything initialises the driver.
TEST_CASE("before cuInit nothing works") {
    int count = 0;
    CUdeviceptr memory = 0;
    CHECK(cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED);
    CHECK(cuMemAlloc(&memory, 1) == CUDA_ERROR_NOT_INITIALIZED);
    CHECK(cuMemAlloc(nullptr, 0) == CUDA_ERROR_NOT_INITIALIZED);
    CHECK(cuInit(1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuDriverGetVersion(&count) == CUDA_SUCCESS);
    CHECK(count == CUDA_VERSION);
    SUCCEEDS(cuInit(0));
    CHECK(cuMemAlloc(&memory, 1) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("two devices, told apart") {
    SUCCEEDS(cuInit(0));
    int count = 0;
    SUCCEEDS(cuDeviceGetCount(&count));
    REQUIRE(count == 2);
    CUuuid one, two;
    SUCCEEDS(cuDeviceGetUuid(&one, 0));
    SUCCEEDS(cuDeviceGetUuid(&two, 1));
    CHECK(std::memcmp(&one, &two, sizeof one) != 0);
    std::array<char, 32> text{};
    SUCCEEDS(cuDeviceGetPCIBusId(text.data(), text.size(), 1));
    CUdevice found = -1;
    SUCCEEDS(cuDeviceGetByPCIBusId(&found, text.data()));
    CHECK(found == 1);
    CHECK(cuDeviceGet(&found, 2) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuDeviceGet(&found, -1) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuDeviceGetName(text.data(), 6, 0) == CUDA_SUCCESS);
    CHECK(std::string(text.data()) == "cubar");
    CHECK(cuDeviceGetName(text.data(), 0, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("contexts form a stack per thread") {
    SUCCEEDS(cuInit(0));
    CUcontext one, two, current;
    SUCCEEDS(cuCtxCreate(&one, nullptr, 0, 0));
    SUCCEEDS(cuCtxCreate(&two, nullptr, 0, 1));
    CUdevice device = -1;
    SUCCEEDS(cuCtxGetDevice(&device));
    CHECK(device == 1);
    SUCCEEDS(cuCtxPopCurrent(&current));
    CHECK(current == two);
    std::thread([&] {
        CUcontext none = one;
        CHECK(cuCtxGetCurrent(&none) == CUDA_SUCCESS);
        CHECK(none == nullptr);
        CHECK(cuCtxSynchronize() == CUDA_ERROR_INVALID_CONTEXT);
        CHECK(cuCtxPopCurrent(&none) == CUDA_ERROR_INVALID_CONTEXT);
    }).join();
    SUCCEEDS(cuCtxDestroy(two));
    CHECK(cuCtxDestroy(two) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuCtxSetCurrent(two) == CUDA_ERROR_INVALID_CONTEXT);
    std::thread([&] {
        CHECK(cuCtxSetCurrent(one) == CUDA_SUCCESS);
        CHECK(cuCtxDestroy(one) == CUDA_SUCCESS);
    }).join();
    CUdeviceptr memory = 0;
    CHECK(cuMemAlloc(&memory, 1) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    SUCCEEDS(cuCtxSetCurrent(nullptr));
}

TEST_CASE("a primary context keeps its handle from one life to the next") {
    SUCCEEDS(cuInit(0));
    CUcontext first, second;
    SUCCEEDS(cuDevicePrimaryCtxRetain(&first, 0));
    SUCCEEDS(cuDevicePrimaryCtxRetain(&second, 0));
    CHECK(first == second);
    SUCCEEDS(cuCtxSetCurrent(first));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 100));
    SUCCEEDS(cuDevicePrimaryCtxRelease(0));
    unsigned flags = 0;
    int active = 0;
    SUCCEEDS(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active == 1);
    SUCCEEDS(cuDevicePrimaryCtxRelease(0));
    SUCCEEDS(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active == 0);
    CHECK(cuDevicePrimaryCtxRelease(0) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuMemAlloc(&memory, 100) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    SUCCEEDS(cuDevicePrimaryCtxRetain(&second, 0));
    CHECK(first == second);
    CHECK(cuMemFree(memory) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuCtxDestroy(first) == CUDA_ERROR_INVALID_CONTEXT);
    SUCCEEDS(cuDevicePrimaryCtxReset(0));
    SUCCEEDS(cuCtxSetCurrent(nullptr));
}

TEST_CASE_METHOD(Context, "memory that is free is what can be had") {
    std::size_t before = 0, total = 0, after = 0;
    SUCCEEDS(cuMemGetInfo(&before, &total));
    CHECK(total == std::size_t{256} << 20);
    CHECK(before == total);
    CUdeviceptr all = 0, more = 0;
    SUCCEEDS(cuMemAlloc(&all, total));
    CHECK(cuMemAlloc(&more, 1) == CUDA_ERROR_OUT_OF_MEMORY);
    SUCCEEDS(cuMemGetInfo(&after, &total));
    CHECK(after == 0);
    CHECK(cuMemFree(all + 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFree(all));
    CHECK(cuMemFree(all) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFree(0));
    CHECK(cuMemAlloc(&more, 0) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemGetInfo(&after, &total));
    CHECK(after == before);
}

TEST_CASE_METHOD(Context, "a copy that leaves its allocation is refused") {
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 1000));
    std::vector<unsigned char> bytes(2000, 7);
    CHECK(cuMemcpyHtoD(memory, bytes.data(), 1001) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD(memory + 500, bytes.data(), 501) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD(reinterpret_cast<CUdeviceptr>(bytes.data()), bytes.data(), 1) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD8(memory + 999, 0, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD32(memory + 2, 0, 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemcpyHtoD(memory, bytes.data(), 1000));
    SUCCEEDS(cuMemsetD16(memory + 10, 0x1234, 5));
    SUCCEEDS(cuMemcpyDtoH(bytes.data() + 1000, memory, 1000));
    CHECK(bytes[1000] == 7);
    CHECK(bytes[1010] == 0x34);
    CHECK(bytes[1019] == 0x12);
    CHECK(bytes[1020] == 7);
}

TEST_CASE_METHOD(Context, "rows are copied between pitches") {
    CUdeviceptr memory = 0;
    std::size_t pitch = 0;
    SUCCEEDS(cuMemAllocPitch(&memory, &pitch, 12, 3, 4));
    CHECK(pitch % 512 == 0);
    std::vector<unsigned char> source(12 * 3), result(20 * 3, 0xff);
    std::iota(source.begin(), source.end(), static_cast<unsigned char>(0));
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = source.data();
    copy.srcPitch = 12;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = memory;
    copy.dstPitch = pitch;
    copy.WidthInBytes = 12;
    copy.Height = 3;
    SUCCEEDS(cuMemcpy2D(&copy));
    CUDA_MEMCPY2D back{};
    back.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    back.srcDevice = memory;
    back.srcPitch = pitch;
    back.srcXInBytes = 2;
    back.srcY = 1;
    back.dstMemoryType = CU_MEMORYTYPE_HOST;
    back.dstHost = result.data();
    back.dstPitch = 20;
    back.WidthInBytes = 10;
    back.Height = 2;
    SUCCEEDS(cuMemcpy2D(&back));
    CHECK(result[0] == 14);
    CHECK(result[9] == 23);
    CHECK(result[10] == 0xff);
    CHECK(result[20] == 26);
    back.dstPitch = 9;
    CHECK(cuMemcpy2D(&back) == CUDA_ERROR_INVALID_VALUE);
    back.dstPitch = 20;
    back.Height = 4;
    back.srcPitch = pitch;
    back.srcY = 3;
    CHECK(cuMemcpy2D(&back) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpy2D(nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Code, "a kernel runs, with parameters given either way") {
    CUdeviceptr memory = 0;
    constexpr unsigned kCount = 1000;
    SUCCEEDS(cuMemAlloc(&memory, kCount * 4));
    SUCCEEDS(cuMemsetD32(memory, 1, kCount));
    unsigned amount = 41, count = kCount;
    void* parameters[] = {&memory, &amount, &count};
    const CUfunction add = function("add");
    SUCCEEDS(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, parameters, nullptr));
    struct {
        CUdeviceptr memory;
        unsigned amount;
        unsigned count;
    } buffer{memory, 100, kCount};
    std::size_t size = sizeof buffer;
    void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    SUCCEEDS(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, extra));
    std::vector<unsigned> values(kCount);
    SUCCEEDS(cuMemcpyDtoH(values.data(), memory, kCount * 4));
    CHECK(values == std::vector<unsigned>(kCount, 142));

    CHECK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, parameters, extra) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    size = 15;
    CHECK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, extra) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Code, "a launch that cannot be is refused at once") {
    const CUfunction small = function("small");
    const auto launch = [&](unsigned grid, unsigned block, unsigned shared) {
        return cuLaunchKernel(small, grid, 1, 1, block, 1, 1, shared, nullptr, nullptr, nullptr);
    };
    CHECK(launch(1, 64, 0) == CUDA_SUCCESS);
    CHECK(launch(0, 64, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(1, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(1, 1025, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(1, 65, 0) == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    CHECK(launch(1, 64, 48 << 10) == CUDA_SUCCESS);
    CHECK(launch(1, 64, (48 << 10) + 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuFuncSetAttribute(small, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 64 << 10));
    CHECK(launch(1, 64, 64 << 10) == CUDA_SUCCESS);
    CHECK(cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuLaunchKernel(reinterpret_cast<CUfunction>(this), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr,
                         nullptr) == CUDA_ERROR_INVALID_HANDLE);
    SUCCEEDS(cuCtxSynchronize());
}

TEST_CASE_METHOD(Code, "a fault is deferred, sticky, and ends with its context") {
    CUdeviceptr memory = 0;
    Word fence;
    SUCCEEDS(cuMemAlloc(&memory, 16));
    SUCCEEDS(cuLaunchKernel(function("out"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr));
    // Refused if the fault is known already, lost if not: it never happens.
    (void)cuStreamWriteValue32(nullptr, reinterpret_cast<CUdeviceptr>(fence.value), 1, 0);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(*fence.value == 0);
    CHECK(cuMemAlloc(&memory, 16) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(cuStreamQuery(nullptr) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CUdevice device = -1;
    CHECK(cuCtxGetDevice(&device) == CUDA_SUCCESS);
    CUcontext fresh = nullptr;
    SUCCEEDS(cuCtxCreate(&fresh, nullptr, 0, 0));
    CHECK(cuMemAlloc(&memory, 16) == CUDA_SUCCESS);
    SUCCEEDS(cuCtxDestroy(fresh));
}

TEST_CASE_METHOD(Code, "handles of another kind, destroyed or made up are refused") {
    CUstream stream = nullptr;
    CUevent event = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, 0));
    SUCCEEDS(cuEventCreate(&event, 0));
    CHECK(cuStreamSynchronize(reinterpret_cast<CUstream>(event)) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventRecord(reinterpret_cast<CUevent>(stream), stream) == CUDA_ERROR_INVALID_HANDLE);
    SUCCEEDS(cuStreamDestroy(stream));
    SUCCEEDS(cuEventDestroy(event));
    CHECK(cuStreamDestroy(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventQuery(event) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventQuery(nullptr) == CUDA_ERROR_INVALID_HANDLE);
    const CUfunction add = function("add");
    SUCCEEDS(cuModuleUnload(module));
    CHECK(cuModuleUnload(module) == CUDA_ERROR_INVALID_HANDLE);
    int registers = 0;
    CHECK(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, add) ==
          CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(Context,
                 "legacy, blocking and non-blocking streams order themselves as CUDA says") {
    CUstream blocking = nullptr, independent = nullptr;
    SUCCEEDS(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    SUCCEEDS(cuStreamCreate(&independent, CU_STREAM_NON_BLOCKING));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 4));
    Word word;
    word.hold(blocking);
    SUCCEEDS(cuMemsetD32(memory, 1, 1));
    CHECK(cuStreamQuery(CU_STREAM_LEGACY) == CUDA_ERROR_NOT_READY);
    SUCCEEDS(cuMemsetD32Async(memory, 2, 1, independent));
    SUCCEEDS(cuStreamSynchronize(independent));
    CHECK(cuStreamQuery(blocking) == CUDA_ERROR_NOT_READY);
    word.release();
    unsigned value = 0;
    SUCCEEDS(cuMemcpyDtoH(&value, memory, 4));
    CHECK(value == 1);
    SUCCEEDS(cuStreamQuery(blocking));
}

TEST_CASE_METHOD(Context,
                 "a pageable source is consumed, a pageable destination filled, on return") {
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 4));
    Word word;
    word.hold(stream);
    unsigned source = 11;
    SUCCEEDS(cuMemcpyHtoDAsync(memory, &source, 4, stream));
    source = 12;
    word.release();
    unsigned result = 0;
    SUCCEEDS(cuMemcpyDtoHAsync(&result, memory, 4, stream));
    CHECK(result == 11);
}

TEST_CASE_METHOD(Context, "host functions and callbacks run in stream order") {
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    std::vector<int> order;
    SUCCEEDS(cuLaunchHostFunc(
        stream, [](void* data) { static_cast<std::vector<int>*>(data)->push_back(1); }, &order));
    SUCCEEDS(cuStreamAddCallback(
        stream,
        [](CUstream, CUresult status, void* data) {
            static_cast<std::vector<int>*>(data)->push_back(status == CUDA_SUCCESS ? 2 : -1);
        },
        &order, 0));
    SUCCEEDS(cuStreamSynchronize(stream));
    CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE_METHOD(Context, "pointers know what they point to") {
    CUdeviceptr memory = 0;
    void* pinned = nullptr;
    SUCCEEDS(cuMemAlloc(&memory, 100));
    SUCCEEDS(cuMemHostAlloc(&pinned, 100, 0));
    unsigned type = 0;
    SUCCEEDS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory + 50));
    CHECK(type == CU_MEMORYTYPE_DEVICE);
    const auto host = reinterpret_cast<CUdeviceptr>(pinned);
    SUCCEEDS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host));
    CHECK(type == CU_MEMORYTYPE_HOST);
    CUdeviceptr mapped = 0;
    SUCCEEDS(cuMemHostGetDevicePointer(&mapped, pinned, 0));
    CHECK(mapped == host);
    int local = 0;
    const auto unknown = reinterpret_cast<CUdeviceptr>(&local);
    CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, unknown) ==
          CUDA_ERROR_INVALID_VALUE);
    int device = 0;
    std::array<CUpointer_attribute, 2> wanted{CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                              CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    std::array<void*, 2> answers{&type, &device};
    SUCCEEDS(cuPointerGetAttributes(2, wanted.data(), answers.data(), unknown));
    CHECK(type == 0);
    CHECK(device == -2);
    CUdeviceptr base = 0;
    std::size_t size = 0;
    SUCCEEDS(cuMemGetAddressRange(&base, &size, memory + 99));
    CHECK(base == memory);
    CHECK(size == 100);
    CHECK(cuMemGetAddressRange(&base, &size, unknown) == CUDA_ERROR_NOT_FOUND);
    SUCCEEDS(cuMemFreeHost(pinned));
    CHECK(cuMemFreeHost(pinned) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Code, "a module's variables are device memory") {
    CUdeviceptr address = 0;
    std::size_t size = 0;
    SUCCEEDS(cuModuleGetGlobal(&address, &size, module, "counter"));
    CHECK(size == 4);
    unsigned value = 0;
    SUCCEEDS(cuMemcpyDtoH(&value, address, 4));
    CHECK(value == 5);
    CHECK(cuModuleGetGlobal(&address, &size, module, "none") == CUDA_ERROR_NOT_FOUND);
    CUfunction missing = nullptr;
    CHECK(cuModuleGetFunction(&missing, module, "none") == CUDA_ERROR_NOT_FOUND);
    CHECK(cuMemFree(address) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Context, "a library is loaded into a context when it is needed there") {
    CUlibrary library = nullptr;
    SUCCEEDS(cuLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
    unsigned count = 0;
    SUCCEEDS(cuLibraryGetKernelCount(&count, library));
    CHECK(count == 3);
    CUkernel kernel = nullptr;
    SUCCEEDS(cuLibraryGetKernel(&kernel, library, "small"));
    CHECK(cuLibraryGetKernel(&kernel, library, "none") == CUDA_ERROR_NOT_FOUND);
    SUCCEEDS(cuLibraryGetKernel(&kernel, library, "small"));
    SUCCEEDS(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 64, 1, 1, 0, nullptr,
                            nullptr, nullptr));
    CUfunction function = nullptr;
    SUCCEEDS(cuKernelGetFunction(&function, kernel));
    int threads = 0;
    SUCCEEDS(cuFuncGetAttribute(&threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function));
    CHECK(threads == 64);
    SUCCEEDS(cuLibraryUnload(library));
    CHECK(cuLibraryUnload(library) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuKernelGetFunction(&function, kernel) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuFuncGetAttribute(&threads, CU_FUNC_ATTRIBUTE_NUM_REGS, function) ==
          CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(Context, "images that cannot be loaded say why") {
    CUmodule module = nullptr;
    std::array<char, 512> log{};
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {log.data(), reinterpret_cast<void*>(std::uintptr_t{log.size()})};
    std::string broken = kPtx;
    broken.replace(broken.find("mad.lo.s32"), 10, "mud.lo.s32");
    CHECK(cuModuleLoadDataEx(&module, broken.c_str(), 2, options, values) ==
          CUDA_ERROR_INVALID_PTX);
    CHECK(std::string(log.data()).find("mud") != std::string::npos);
    CHECK(std::string(log.data()).find("line ") != std::string::npos);
    CHECK(reinterpret_cast<std::uintptr_t>(values[1]) == std::strlen(log.data()));
    CHECK(cuModuleLoadData(&module, "no image") == CUDA_ERROR_INVALID_IMAGE);
    CHECK(cuModuleLoadData(&module, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuModuleLoad(&module, "/nonexistent") == CUDA_ERROR_FILE_NOT_FOUND);
}

TEST_CASE_METHOD(Context, "the end of a context ends waits that nobody would fulfil") {
    CUcontext other = nullptr;
    SUCCEEDS(cuCtxCreate(&other, nullptr, 0, 0));
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 4));
    SUCCEEDS(cuMemsetD32(memory, 0, 1));
    SUCCEEDS(cuCtxSynchronize());
    SUCCEEDS(cuStreamWaitValue32(stream, memory, 1, CU_STREAM_WAIT_VALUE_EQ));
    SUCCEEDS(cuCtxDestroy(other));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(Context, "the child of a fork has no driver") {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int count = 0;
        const bool refused = cuInit(0) == CUDA_ERROR_NOT_INITIALIZED &&
                             cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED;
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
