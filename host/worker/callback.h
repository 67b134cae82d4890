// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <set>

namespace cubar::host {

/// Functions of the guest's application that the driver calls at their place in a stream or a
/// graph. The driver is given a trampoline and the guest's number of the function; the trampoline
/// hands the number to the guest's thread, which waits for one, and returns when that has called
/// the function. So order and errors are the driver's own.
class HostCalls {
public:
    /// One at a time in a process: the trampolines have nothing but the number.
    HostCalls();
    ~HostCalls();
    HostCalls(const HostCalls&) = delete;
    HostCalls& operator=(const HostCalls&) = delete;

    struct Due {
        std::uint64_t call = 0;    ///< the guest's number of the function; 0: none is due
        std::uint64_t ticket = 0;  ///< of this one call of it
        CUresult status = CUDA_SUCCESS;
    };

    /// In a thread of the driver: returns when the guest has called the function.
    void run(std::uint64_t call, CUresult status);

    /// For the guest's thread: it has finished a call (0: none), and wants the next. Without `wait`
    /// it wants none if none is due.
    Due next(std::uint64_t finished, bool wait);
    /// Has next() return with none.
    void interrupt();
    /// Nobody will call functions any more: all calls return.
    void close();

    // The trampolines. Their data is the guest's number of the function.
    static void CUDA_CB host_function(void* call);
    static void CUDA_CB stream_callback(CUstream stream, CUresult status, void* call);

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Due> due_;
    std::set<std::uint64_t> running_;  ///< tickets that the guest has not finished
    std::uint64_t last_ticket_ = 0;
    bool interrupted_ = false;
    bool closed_ = false;
};

/// A function's number as the trampolines take it.
inline void* host_call_data(std::uint64_t call) {
    return reinterpret_cast<void*>(call);
}

}  // namespace cubar::host
