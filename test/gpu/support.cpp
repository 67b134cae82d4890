// SPDX-License-Identifier: Apache-2.0
#include "test/gpu/support.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace cubar::probe {
namespace {

constexpr char kKernels[] = R"(.version 7.5
.target sm_75
.address_size 64

.extern .func (.param .b32 result) vprintf(.param .b64 format, .param .b64 arguments);
.extern .func __assertfail(.param .b64 message, .param .b64 file, .param .b32 line,
                           .param .b64 function, .param .b64 char_size);
.global .align 1 .b8 text[14] = {112, 114, 105, 110, 116, 101, 100, 32, 98, 121, 32, 37, 117, 0};
.global .align 1 .b8 message[11] = {102, 111, 117, 114, 32, 61, 61, 32, 53, 33, 0};
.global .align 1 .b8 file[9] = {112, 114, 111, 98, 101, 46, 99, 117, 0};
.global .align 1 .b8 name[5] = {109, 97, 105, 110, 0};

.visible .entry hold(.param .u64 flag)
{
    .reg .pred %p;
    .reg .b32 %value;
    .reg .b64 %address;
    ld.param.u64 %address, [flag];
again:
    ld.volatile.global.u32 %value, [%address];
    setp.eq.u32 %p, %value, 0;
    @%p bra again;
    ret;
}

.visible .entry fill(.param .u64 words, .param .u32 count, .param .u32 value)
{
    .reg .pred %p;
    .reg .b32 %index, %block, %size, %thread, %count, %value;
    .reg .b64 %address, %offset;
    mov.u32 %block, %ctaid.x;
    mov.u32 %size, %ntid.x;
    mov.u32 %thread, %tid.x;
    mad.lo.u32 %index, %block, %size, %thread;
    ld.param.u32 %count, [count];
    setp.ge.u32 %p, %index, %count;
    @%p bra done;
    ld.param.u64 %address, [words];
    ld.param.u32 %value, [value];
    mul.wide.u32 %offset, %index, 4;
    add.u64 %address, %address, %offset;
    st.global.u32 [%address], %value;
done:
    ret;
}

.visible .entry delay(.param .u64 ns, .param .u64 word, .param .u32 value)
{
    .reg .pred %p;
    .reg .b32 %value;
    .reg .b64 %begin, %now, %ns, %address;
    ld.param.u64 %ns, [ns];
    mov.u64 %begin, %globaltimer;
again:
    mov.u64 %now, %globaltimer;
    sub.u64 %now, %now, %begin;
    setp.lt.u64 %p, %now, %ns;
    @%p bra again;
    ld.param.u64 %address, [word];
    ld.param.u32 %value, [value];
    st.global.u32 [%address], %value;
    ret;
}

.visible .entry store(.param .u64 address)
{
    .reg .b64 %address;
    ld.param.u64 %address, [address];
    st.global.u32 [%address], 1;
    ret;
}

.visible .entry bounded() .maxntid 64, 1, 1
{
    ret;
}

.visible .entry mixed(.param .u8 small, .param .u64 wide, .param .u16 middle,
                      .param .align 16 .b8 block[20])
{
    ret;
}

.visible .entry print(.param .u64 word)
{
    .local .align 4 .b8 arguments[4];
    .reg .b32 %ignored;
    .reg .b64 %address, %format, %values;
    mov.u64 %values, arguments;
    st.local.u32 [%values], 7;
    cvta.local.u64 %values, %values;
    mov.u64 %format, text;
    cvta.global.u64 %format, %format;
    {
        .param .b64 format;
        .param .b64 values;
        .param .b32 result;
        st.param.b64 [format], %format;
        st.param.b64 [values], %values;
        call.uni (result), vprintf, (format, values);
        ld.param.b32 %ignored, [result];
    }
    ld.param.u64 %address, [word];
    st.global.u32 [%address], 1;
    ret;
}

.visible .entry failed_assert()
{
    .reg .b64 %message, %file, %name;
    mov.u64 %message, message;
    cvta.global.u64 %message, %message;
    mov.u64 %file, file;
    cvta.global.u64 %file, %file;
    mov.u64 %name, name;
    cvta.global.u64 %name, %name;
    {
        .param .b64 a;
        .param .b64 b;
        .param .b32 c;
        .param .b64 d;
        .param .b64 e;
        st.param.b64 [a], %message;
        st.param.b64 [b], %file;
        st.param.b32 [c], 42;
        st.param.b64 [d], %name;
        st.param.b64 [e], 1;
        call.uni __assertfail, (a, b, c, d, e);
    }
    ret;
}
)";

}  // namespace

void check(CUresult result, const char* call) {
    if (result == CUDA_SUCCESS) return;
    std::string text = call;
    for (const std::string_view noise : {"cu()."})
        if (text.starts_with(noise)) text.erase(0, noise.size());
    throw std::runtime_error(text + ": " + name_of(result));
}

std::string number(std::uint64_t value) {
    return std::to_string(value);
}

std::string hexadecimal(std::uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

Context::Context() {
    MUST(cu().cuInit(0));
    MUST(cu().cuDeviceGet(&device_, 0));
    MUST(cu().cuDevicePrimaryCtxRetain(&handle_, device_));
    MUST(cu().cuCtxSetCurrent(handle_));
}

const char* kernels_ptx() {
    return kKernels;
}

Kernels::Kernels() {
    MUST(cu().cuModuleLoadData(&module_, kKernels));
    // As a worker does it: a kernel's code is there before its first launch.
    for (const char* name : {"hold", "fill", "delay", "store"}) MUST(cu().cuFuncLoad(get(name)));
}

CUfunction Kernels::get(const char* name) const {
    CUfunction function = nullptr;
    MUST(cu().cuModuleGetFunction(&function, module_, name));
    return function;
}

Pinned::Pinned(std::size_t bytes) {
    void* memory = nullptr;
    MUST(cu().cuMemHostAlloc(&memory, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP));
    MUST(cu().cuMemHostGetDevicePointer(&device_, memory, 0));
    bytes_ = static_cast<std::byte*>(memory);
    std::memset(bytes_, 0, bytes);
}

Held::Held(const Kernels& kernels, CUstream stream) : flag_(sizeof(std::uint32_t)) {
    MUST(launch(kernels.get("hold"), stream, 1, flag_.device()));
}

CUstream make_stream(unsigned flags) {
    CUstream stream = nullptr;
    MUST(cu().cuStreamCreate(&stream, flags));
    return stream;
}

CUevent make_event(unsigned flags) {
    CUevent event = nullptr;
    MUST(cu().cuEventCreate(&event, flags));
    return event;
}

CUdeviceptr allocate(std::size_t bytes) {
    CUdeviceptr memory = 0;
    MUST(cu().cuMemAlloc(&memory, bytes));
    return memory;
}

Attempt::Attempt(std::function<CUresult()> call) {
    CUcontext context = nullptr;
    MUST(cu().cuCtxGetCurrent(&context));
    thread_ = std::thread([this, context, call = std::move(call)] {
        CUresult result = cu().cuCtxSetCurrent(context);
        if (result == CUDA_SUCCESS) result = call();
        const std::lock_guard lock(mutex_);
        result_ = result;
        done_ = true;
        changed_.notify_all();
    });
}

Attempt::~Attempt() {
    thread_.join();
}

bool Attempt::returned(milliseconds limit) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return done_; });
}

CUresult Attempt::result() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return result_;
}

bool comes_true(const std::function<bool()>& condition, milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end) return condition();
        std::this_thread::yield();
    }
    return true;
}

Captured::Captured(int fd)
    : fd_(fd), kept_(::dup(fd)), memory_(::memfd_create("captured", MFD_CLOEXEC)) {
    std::fflush(nullptr);
    ::dup2(memory_, fd_);
}

Captured::~Captured() {
    std::fflush(nullptr);
    ::dup2(kept_, fd_);
    ::close(kept_);
    ::close(memory_);
}

std::string Captured::text() const {
    std::fflush(nullptr);
    std::string text(4096, 0);
    const ssize_t length = ::pread(memory_, text.data(), text.size(), 0);
    text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return text;
}

int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace cubar::probe
