// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/issue.h"

#include "softgpu/device/capture.h"
#include "softgpu/device/driver.h"

namespace cubar::softgpu::device {

Point issue(Context& context, const StreamRef& stream, WorkRef work) {
    if (Driver::get().captures().take(stream, work)) return {};
    if (work->brief())
        return context.streams().submit_brief(
            stream, [work = std::move(work)](Stream& own) { work->run(own); });
    return context.streams().submit(stream, std::make_unique<WorkTask>(std::move(work)));
}

}  // namespace cubar::softgpu::device
