// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/exec/bound_image.h"
#include "softgpu/exec/image_form.h"

namespace cubar::softgpu::exec {

/// The images that an instruction's lanes name; each is held while the instruction executes.
class ImageLookup {
public:
    ImageLookup(Warp& warp, const Insn* insn, const ImageForm& form, bool surface)
        : warp_(warp), insn_(insn), form_(form), surface_(surface) {}

    /// Null after a fault: the handle names nothing, or a texture in place of a surface. Valid
    /// until the next call.
    const BoundImage* find(unsigned lane);

private:
    Warp& warp_;
    const Insn* insn_;
    const ImageForm& form_;
    const bool surface_;
    uint64_t handle_ = 0;
    ImageTable::Ref image_;
};

}  // namespace cubar::softgpu::exec
