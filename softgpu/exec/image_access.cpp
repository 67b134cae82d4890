// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/image_access.h"

#include "softgpu/exec/block.h"

namespace cubar::softgpu::exec {

const BoundImage* ImageLookup::find(unsigned lane) {
    const uint64_t handle = lanes<uint64_t>(warp_, form_.handle)[lane];
    if (image_ == nullptr || handle != handle_) {
        image_ = warp_.block->grid().map->images().find(handle);
        handle_ = handle;
    }
    if (image_ != nullptr && image_->is_surface == surface_) return image_.get();
    image_ = nullptr;
    warp_.block->fail(warp_, insn_, FaultKind::kIllegalAddress, handle,
                      surface_ ? "this is not the handle of a surface object"
                               : "this is not the handle of a texture object");
    return nullptr;
}

}  // namespace cubar::softgpu::exec
