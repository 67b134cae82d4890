// SPDX-License-Identifier: Apache-2.0
#include "transport/fence.h"

namespace cubar::transport {

Error Fences::wait(std::uint32_t fence, Position position, Nanoseconds deadline) const {
    if (fence >= kFences) {
        return Error::kProtocolBroken;
    }
    const Nanoseconds start = now();
    return wait_until(
        wait_, deadline, [&] { return reached(fence, position); },
        [&](Nanoseconds limit) { sleep_for(std::min(limit, growing_sleep(now() - start))); });
}

}  // namespace cubar::transport
