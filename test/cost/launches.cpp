// SPDX-License-Identifier: Apache-2.0
// Launches and nothing else, between two getppid() calls that a trace can see:
//   cost-launches PARAMETERS BATCHES LAUNCHES [busy]
// Each batch is finished outside the marks, and within them the worker counts as awake. `busy`
// makes a system call beside every launch: the control of those who count them.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/gpu.h"
#include "test/cost/own_channel.h"

int main(int count, char** arguments) {
    if (count < 4) {
        std::fprintf(stderr, "usage: cost-launches 4|16 BATCHES LAUNCHES [busy]\n");
        return 2;
    }
    const int parameters = std::atoi(arguments[1]);
    const int batches = std::atoi(arguments[2]);
    const int launches = std::atoi(arguments[3]);
    const bool busy = count > 4 && std::strcmp(arguments[4], "busy") == 0;
    cubar::bench::Gpu gpu;
    const CUfunction function = parameters == 16 ? gpu.sixteen() : gpu.four();
    CUBAR_REQUIRE(gpu.launch(function));
    gpu.finish();
    cubar::cost::OwnChannel channel;
    for (int batch = 0; batch < batches; ++batch) {
        channel.pretend_worker_awake();
        getppid();
        for (int i = 0; i < launches; ++i) {
            CUBAR_REQUIRE(gpu.launch(function));
            if (busy) getuid();
        }
        getppid();
        channel.pretence_over();
        gpu.finish();
    }
    return 0;
}
