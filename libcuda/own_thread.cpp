// SPDX-License-Identifier: Apache-2.0
#include "libcuda/own_thread.h"

#include <pthread.h>
#include <signal.h>

namespace cubar::guest {

bool start_own_thread(const char* name, void* (*body)(void*), void* argument) {
    // A thread inherits what its maker lets through.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const bool started = pthread_create(&thread, nullptr, body, argument) == 0;
    if (started) {
        pthread_setname_np(thread, name);
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
}

}  // namespace cubar::guest
