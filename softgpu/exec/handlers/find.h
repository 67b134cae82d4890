// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/exec/key.h"

namespace cubar::softgpu::exec {

// One for each instruction set that the handlers are compiled for.
namespace baseline {
Handler find_handler(const Key& key);
}
namespace avx2 {
Handler find_handler(const Key& key);
}
namespace avx512 {
Handler find_handler(const Key& key);
}

}  // namespace cubar::softgpu::exec
