// SPDX-License-Identifier: Apache-2.0
// What probes are made of: a context, kernels, a kernel that holds its stream, calls that may hang.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "test/gpu/driver.h"

namespace cubar::probe {

using std::chrono::milliseconds;

/// How long a call that must not wait may take, and how long one is watched that must.
inline constexpr milliseconds kAtOnce{2000};
inline constexpr milliseconds kWatched{150};

/// Throws std::runtime_error with the call and the error unless it succeeded.
void check(CUresult result, const char* call);

/// A number in the words of an observation.
std::string number(std::uint64_t value);
std::string hexadecimal(std::uint64_t value);

/// cuInit and device 0's primary context, current in this thread. Its end is the process's.
class Context {
public:
    Context();
    CUdevice device() const { return device_; }
    CUcontext handle() const { return handle_; }

private:
    CUdevice device_ = 0;
    CUcontext handle_ = nullptr;
};

/// The probes' kernels, loaded into the current context (PTX in support.cpp):
///   hold(u64 flag)                           ends when *flag is not 0
///   fill(u64 words, u32 count, u32 value)    words[i] = value, by one thread each
///   delay(u64 ns, u64 word, u32 value)       *word = value after so many nanoseconds
///   store(u64 address)                       writes there, whatever it is
///   bounded()                                with launch bounds of 64 threads
///   mixed(u8, u64, u16, align-16 b8[20])     has these parameters
///   print(u64 word), failed_assert(u64)      vprintf, then *word = 1; __assertfail
class Kernels {
public:
    Kernels();
    CUfunction get(const char* name) const;

private:
    CUmodule module_ = nullptr;
};

const char* kernels_ptx();

/// Launches one block of `threads` (or what covers them) with these arguments.
template <class... Arguments>
CUresult launch(CUfunction kernel, CUstream stream, unsigned threads, Arguments... arguments) {
    void* pointers[] = {static_cast<void*>(&arguments)..., nullptr};
    const unsigned block = threads < 256 ? threads : 256;
    return cu().cuLaunchKernel(kernel, (threads + block - 1) / block, 1, 1, block, 1, 1, 0, stream,
                               pointers, nullptr);
}

/// Page-locked memory that the device reaches too, zeroed; its end is the process's.
class Pinned {
public:
    explicit Pinned(std::size_t bytes);
    CUdeviceptr device() const { return device_; }
    std::byte* bytes() const { return bytes_; }
    std::atomic_ref<std::uint32_t> word(std::size_t index = 0) const {
        return std::atomic_ref(reinterpret_cast<std::uint32_t*>(bytes_)[index]);
    }

private:
    std::byte* bytes_ = nullptr;
    CUdeviceptr device_ = 0;
};

/// A kernel that keeps a stream busy until release(), or the end of this object.
class Held {
public:
    Held(const Kernels& kernels, CUstream stream);
    ~Held() { release(); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    void release() { flag_.word().store(1); }

private:
    Pinned flag_;
};

CUstream make_stream(unsigned flags);
CUevent make_event(unsigned flags = CU_EVENT_DEFAULT);
CUdeviceptr allocate(std::size_t bytes);

/// A call in a thread of its own, with the creator's context current. Join comes last: whatever
/// the call waits for must end before this object does.
class Attempt {
public:
    explicit Attempt(std::function<CUresult()> call);
    ~Attempt();
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;

    /// Whether the call returned within that time.
    bool returned(milliseconds limit);
    /// Waits for it.
    CUresult result();

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool done_ = false;
    CUresult result_ = CUDA_ERROR_UNKNOWN;
    std::thread thread_;
};

/// Whether the condition comes true within the time; looks again and again.
bool comes_true(const std::function<bool()>& condition, milliseconds limit = kAtOnce);

/// Takes what is written to this descriptor (stdout, stderr) while it lives.
class Captured {
public:
    explicit Captured(int fd);
    ~Captured();
    Captured(const Captured&) = delete;
    Captured& operator=(const Captured&) = delete;
    std::string text() const;

private:
    int fd_;
    int kept_;
    int memory_;
};

/// Runs `body` in a child made by fork() and returns what it returned (0 to 255), or -1 if it did
/// not end by itself.
int in_child(const std::function<int()>& body);

}  // namespace cubar::probe

/// Ends the probe, refuted, unless the driver call succeeds.
#define MUST(call) ::cubar::probe::check((call), #call)
