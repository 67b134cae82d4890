// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/current.h"

#include "softgpu/device/driver.h"

namespace cubar::softgpu::device {
namespace {

/// Ends with its thread, and the thread's default streams with it.
struct OwnedThreadState : ThreadState {
    OwnedThreadState() : number(this_thread_number()) {}
    ~OwnedThreadState() {
        if (Driver* driver = Driver::instance()) driver->forget_thread(number);
    }
    const std::uint64_t number;
};

}  // namespace

void ThreadState::set_current(CUcontext context) {
    if (contexts.empty()) {
        if (context != nullptr) contexts.push_back(context);
    } else if (context != nullptr) {
        contexts.back() = context;
    } else {
        contexts.pop_back();
    }
}

ThreadState& this_thread() {
    static thread_local OwnedThreadState state;
    return state;
}

}  // namespace cubar::softgpu::device
