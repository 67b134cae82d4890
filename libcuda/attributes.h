// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "cubar/layout.h"
#include "transport/device.h"

namespace cubar::guest {

/// cuDeviceGetAttribute: the host's value, unless the way through the BAR makes another one true.
CUresult device_attribute(const DeviceFacts& facts, const transport::Device& device,
                          CUdevice_attribute attribute, int& value);

/// The rule for an attribute that does not take the host's value, for documentation and tests.
struct AttributeRule {
    CUdevice_attribute attribute;
    int value;
    const char* reason;
};
/// The rule that applies, or null: the host's value.
const AttributeRule* attribute_rule(CUdevice_attribute attribute);

}  // namespace cubar::guest
