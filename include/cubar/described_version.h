// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cubar {

/// The CUDA version that the API description covers; a newer host is reported as this.
inline constexpr int kDescribedVersion = 13000;

}  // namespace cubar
