// SPDX-License-Identifier: Apache-2.0
// Programs that are linked with NVML need every name. What does nothing here says so.
#include "nvml/functions.h"
#include "nvml/library.h"

namespace cubar::nvml {

// The arguments are left where the caller put them: the ABI permits that.
#define UNSUPPORTED(name)     \
    NVML_API name();          \
    NVML_API name() {         \
        return unsupported(); \
    }
#include "nvml/unsupported.inc"
#undef UNSUPPORTED

}  // namespace cubar::nvml
