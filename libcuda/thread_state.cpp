// SPDX-License-Identifier: Apache-2.0
#include "libcuda/thread_state.h"

#include <pthread.h>

#include <atomic>
#include <new>

#include "libcuda/stream.h"

namespace cubar::guest::detail {

thread_local constinit ThreadState* thread_state = nullptr;

namespace {

std::atomic<std::uint32_t> threads{0};
pthread_once_t key_once = PTHREAD_ONCE_INIT;
pthread_key_t key;
bool key_made = false;

void end_thread(void* state) {
    auto* ending = static_cast<ThreadState*>(state);
    // The streams' destructors are calls like any other and find this state still in place.
    destroy_thread_streams(*ending);
    thread_state = nullptr;
    delete ending;
}

}  // namespace

ThreadState* make_thread_state() {
    pthread_once(&key_once, [] { key_made = pthread_key_create(&key, end_thread) == 0; });
    auto* state = new (std::nothrow) ThreadState;
    if (state == nullptr) return nullptr;
    state->number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
    // Without a key the state of an ended thread is lost, which is a leak but no fault.
    if (key_made) pthread_setspecific(key, state);
    thread_state = state;
    return state;
}

}  // namespace cubar::guest::detail
