// SPDX-License-Identifier: Apache-2.0
// What cuModuleLoadData and cuLibraryLoadData may be given, and how far it reaches.
#pragma once

#include <cstdint>

#include "driver/image/bytes.h"
#include "driver/image/result.h"

namespace cubar::driver::image {

enum class ImageKind : std::uint8_t { kUnknown, kFatbinWrapper, kFatbin, kElf, kPtx };

// By its first bytes. PTX is told by text that begins, after white space and comments, with a
// directive of PTX (.version).
ImageKind image_kind(Bytes bytes) noexcept;

struct Measured {
    ImageKind kind = ImageKind::kUnknown;
    // The image: for a wrapper the fatbin that it points to, for PTX the text without its final
    // null character.
    Bytes bytes;
    // Of a version 2 wrapper, else null: pointers to the fatbins of which `bytes` was linked, ended
    // by null, each to be measured in its turn.
    const void* const* prelinked = nullptr;
};

// Finds kind and length of an image of which the caller knows only where it begins. Reads headers
// first and never past the end that they name; of text up to its null character, at most 1 GiB.
// The caller vouches for the memory, as CUDA's does, unless it gives `readable`: that is asked of
// each header and table before it is read, and where it says no, the image ends too early.
using Readable = bool (*)(Bytes bytes);
Result<Measured> measure(const void* image, Readable readable = nullptr) noexcept;

}  // namespace cubar::driver::image
