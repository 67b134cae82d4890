// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

namespace cubar::softgpu::device {

/// As cuCtxGetStreamPriorityRange says; the least is 0.
inline constexpr int kGreatestPriority = -5;

/// What cuStreamSetAttribute tells a stream. All of it are hints, of which this executor makes
/// nothing; the stream keeps them for whoever asks.
class StreamAttributes {
public:
    /// A priority beyond the range counts as the nearest in it.
    explicit StreamAttributes(int priority);

    /// Both throw CUDA_ERROR_INVALID_VALUE for what is no attribute of streams; set() also for
    /// what no stream of this device can be.
    [[nodiscard]] CUstreamAttrValue get(CUstreamAttrID attribute) const;
    void set(CUstreamAttrID attribute, const CUstreamAttrValue& value);

    [[nodiscard]] int priority() const { return priority_; }

private:
    int priority_;
    CUsynchronizationPolicy synchronization_ = CU_SYNC_POLICY_AUTO;
    CUaccessPolicyWindow window_{};
    CUlaunchMemSyncDomainMap domains_{};
    CUlaunchMemSyncDomain domain_ = CU_LAUNCH_MEM_SYNC_DOMAIN_DEFAULT;
};

}  // namespace cubar::softgpu::device
