// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/stream_attributes.h"

#include <algorithm>

#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

int nearest_priority(int priority) {
    return std::clamp(priority, kGreatestPriority, 0);
}

}  // namespace

StreamAttributes::StreamAttributes(int priority) : priority_(nearest_priority(priority)) {}

CUstreamAttrValue StreamAttributes::get(CUstreamAttrID attribute) const {
    CUstreamAttrValue value{};
    switch (attribute) {
        case CU_STREAM_ATTRIBUTE_PRIORITY:
            value.priority = priority_;
            break;
        case CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY:
            value.syncPolicy = synchronization_;
            break;
        case CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            value.accessPolicyWindow = window_;
            break;
        case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
            value.memSyncDomainMap = domains_;
            break;
        case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN:
            value.memSyncDomain = domain_;
            break;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such attribute of a stream");
    }
    return value;
}

void StreamAttributes::set(CUstreamAttrID attribute, const CUstreamAttrValue& value) {
    switch (attribute) {
        case CU_STREAM_ATTRIBUTE_PRIORITY:
            priority_ = nearest_priority(value.priority);
            return;
        case CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY:
            require_value(value.syncPolicy >= CU_SYNC_POLICY_AUTO &&
                              value.syncPolicy <= CU_SYNC_POLICY_BLOCKING_SYNC,
                          "no such way of waiting");
            synchronization_ = value.syncPolicy;
            return;
        case CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            // CU_DEVICE_ATTRIBUTE_MAX_ACCESS_POLICY_WINDOW_SIZE is 0.
            require_value(value.accessPolicyWindow.num_bytes == 0, "a window on a cache");
            window_ = value.accessPolicyWindow;
            return;
        case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
            // CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT is 1.
            require_value(
                value.memSyncDomainMap.default_ == 0 && value.memSyncDomainMap.remote == 0,
                "no such synchronization domain");
            domains_ = value.memSyncDomainMap;
            return;
        case CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN:
            require_value(value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_DEFAULT ||
                              value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE,
                          "no such synchronization domain");
            domain_ = value.memSyncDomain;
            return;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such attribute of a stream");
    }
}

}  // namespace cubar::softgpu::device
