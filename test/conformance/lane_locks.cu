// SPDX-License-Identifier: Apache-2.0
// Lanes of one warp that wait for each other: diverged threads make progress of their own, as
// compute capability 7.0 and above promise.
#include "conformance.h"

namespace {

// Whoever holds the lock runs on while the other lanes of its warp spin.
__global__ void lock_in_turn(unsigned* lock, unsigned* count) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0u, 1u) == 0u) {
            *count = *const_cast<volatile unsigned*>(count) + threadIdx.x;
            __threadfence();
            atomicExch(lock, 0u);
            done = true;
        }
    }
}

// Each odd lane spins until its even neighbour has written.
__global__ void hand_over(volatile unsigned* mail) {
    const unsigned lane = threadIdx.x;
    if (lane % 2) {
        while (mail[lane - 1] == 0)
            ;
        mail[lane] = mail[lane - 1] + 1;
    } else {
        mail[lane] = 100 + lane;
    }
}

}  // namespace

int main() {
    conformance::DeviceArray<unsigned> lock(2);
    CUDA(cudaMemset(lock.data(), 0, lock.bytes()));
    lock_in_turn<<<2, 64>>>(lock.data(), lock.data() + 1);
    CUDA(cudaGetLastError());
    CHECK(lock.host()[1] == 2 * (63 * 64 / 2));
    std::printf("locks in turn: %u\n", lock.host()[1]);

    conformance::DeviceArray<unsigned> mail(32);
    CUDA(cudaMemset(mail.data(), 0, mail.bytes()));
    hand_over<<<1, 32>>>(mail.data());
    CUDA(cudaGetLastError());
    const auto letters = mail.host();
    for (unsigned lane = 0; lane < 32; ++lane) CHECK_AT(lane, letters[lane], 100 + lane);
    conformance::report("handed over", letters);
    return 0;
}
