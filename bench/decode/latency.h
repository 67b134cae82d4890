// SPDX-License-Identifier: Apache-2.0
// What surrounds decoding: the wait for a launch, copies, a model's upload, a module's loading.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace cubar::decode {

struct Latencies {
    double launch_sync_p50_us;
    double launch_sync_p99_us;
    // What a wait takes beyond the kernel that it is for, which takes so many microseconds.
    double beyond_300_p50_us;
    double beyond_1000_p50_us;
    double beyond_4000_p50_us;
    double read_4_bytes_p50_us;  ///< a blocking copy of 4 bytes to the host
    double to_device_pageable_gb_s;
    double to_device_pinned_gb_s;
    double to_host_pageable_gb_s;
    double to_host_pinned_gb_s;
    double upload_gb_s;  ///< tensor after tensor out of pageable memory, as weights are loaded
    double module_ms;    ///< from PTX text to the end of its first kernel
};

/// `bytes` is what one copy moves; an upload has eight times as much.
Latencies measure_latencies(std::size_t bytes, cudaStream_t stream);

}  // namespace cubar::decode
