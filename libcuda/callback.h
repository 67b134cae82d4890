// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <pthread.h>

#include <cstdint>
#include <map>
#include <mutex>

namespace cubar::guest {

struct Caller;
class GraphResources;
class Session;

/// A function of the application that the host's driver has called at its time.
struct HostCall {
    CUhostFn function = nullptr;
    CUstreamCallback callback = nullptr;  ///< if it is one of cuStreamAddCallback
    CUstream stream = nullptr;            ///< for the callback
    void* data = nullptr;
    bool once = true;                 ///< else a graph calls it at each of its launches
    GraphResources* graph = nullptr;  ///< whose stand-ins it may look at
};

/// The functions that are yet to be called, and the thread that does so. The thread asks the host
/// for the next one only while there are any: in a virtual machine such a wait looks again every
/// few milliseconds. Thread-safe.
class HostCalls {
public:
    explicit HostCalls(Session& session) : session_(session) {}
    HostCalls(const HostCalls&) = delete;
    HostCalls& operator=(const HostCalls&) = delete;

    /// Gives the function a number; 0: there is no thread to call it.
    std::uint64_t add(const HostCall& call);
    /// Empty if there is none.
    HostCall find(std::uint64_t number);
    /// It will not be called any more.
    void remove(std::uint64_t number);

private:
    bool start();
    void serve();
    void run(const HostCall& call, CUresult status);
    /// Takes the function out, if it is called once.
    HostCall take(std::uint64_t number);

    Session& session_;
    std::mutex mutex_;
    // Not the standard's, whose code brings the exception machinery of libsupc++ along.
    pthread_cond_t changed_ = PTHREAD_COND_INITIALIZER;
    std::map<std::uint64_t, HostCall> calls_;
    std::uint64_t last_number_ = 0;
    bool started_ = false;
};

}  // namespace cubar::guest
