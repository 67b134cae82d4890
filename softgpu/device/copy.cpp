// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/copy.h"

#include <cstring>
#include <utility>

#include "softgpu/device/capture.h"
#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

// Pageable sources up to this size are taken along with the operation; larger ones make the
// caller wait instead.
constexpr std::size_t kLargestStaged = std::size_t{64} << 10;

// A copy of so many bytes takes less time than waking the stream's thread for it.
constexpr std::size_t kBrief = std::size_t{1} << 20;

std::byte* at(Address address) {
    return reinterpret_cast<std::byte*>(address);
}

void move(const CopySide& destination, const CopySide& source, CopyExtent extent) {
    const bool rows_join = destination.pitch == extent.width && source.pitch == extent.width;
    if (rows_join) {
        extent.width *= extent.height;
        extent.height = 1;
    }
    for (std::size_t z = 0; z < extent.depth; ++z)
        for (std::size_t y = 0; y < extent.height; ++y)
            std::memmove(at(destination.base + z * destination.slice + y * destination.pitch),
                         at(source.base + z * source.slice + y * source.pitch), extent.width);
}

/// Bytes from the side's first to its last.
std::size_t span_of(const CopySide& side, const CopyExtent& extent) {
    std::size_t rows = 0;
    std::size_t slices = 0;
    std::size_t span = 0;
    const bool overflow = __builtin_mul_overflow(side.pitch, extent.height - 1, &rows) ||
                          __builtin_mul_overflow(side.slice, extent.depth - 1, &slices) ||
                          __builtin_add_overflow(rows, slices, &span) ||
                          __builtin_add_overflow(span, extent.width, &span);
    require_value(!overflow, "the copy is larger than any memory");
    return span;
}

/// Where in its array a side begins.
struct Corner {
    std::size_t x;
    std::size_t y;
    std::size_t z;
};

Corner corner_of(const CopySide& side) {
    const std::size_t offset = side.base - side.array->base();
    return {offset % side.pitch, offset % side.slice / side.pitch, offset / side.slice};
}

void check_array(const CopySide& side, const CopyExtent& extent) {
    const Array& array = *side.array;
    const Corner at = corner_of(side);
    const auto fits = [](std::size_t from, std::size_t count, std::size_t size) {
        return from < size && count <= size - from;
    };
    require_value(fits(at.x, extent.width, array.pitch()) &&
                      fits(at.y, extent.height, array.rows()) &&
                      fits(at.z, extent.depth, array.slices()),
                  "the copy exceeds the array");
    require_value(at.x % array.element() == 0 && extent.width % array.element() == 0,
                  "elements of an array are copied whole");
}

Place check(const Memory& memory, const CopySide& side, Claim claim, const CopyExtent& extent) {
    if (claim == Claim::kArray) {
        check_array(side, extent);
        return Place::kDevice;
    }
    require_value(extent.height == 1 || side.pitch >= extent.width, "the pitch is too small");
    const std::size_t span = span_of(side, extent);
    require_value(side.base != 0, "a null pointer");
    const AllocationRef allocation = memory.find(side.base);
    if (allocation == nullptr) {
        require_value(claim != Claim::kDevice && !memory.space().contains(side.base),
                      "not an address of the device");
        return Place::kPageable;
    }
    const bool held = memory.holds(side.base, span);
    if (claim == Claim::kHost && allocation->on_host() && !held) return Place::kPageable;
    require_value(held, "the copy exceeds the allocation, or nobody may touch it");
    return allocation->on_host() ? Place::kPinned : Place::kDevice;
}

bool is_of_graph(const Memory& memory, const CopySide& side) {
    if (side.array != nullptr) return false;
    const AllocationRef allocation = memory.find(side.base);
    return allocation != nullptr && allocation->kind == MemoryKind::kGraph;
}

}  // namespace

CopySide CopySide::in(std::shared_ptr<const Array> array, std::size_t x, std::size_t y,
                      std::size_t z) {
    const std::size_t slice = array->pitch() * array->rows();
    require_value(x < array->pitch() && y < array->rows() && z < array->slices(),
                  "the copy begins outside of the array");
    return {array->base() + x + y * array->pitch() + z * slice, array->pitch(), slice,
            std::move(array)};
}

Copy::Copy(const Memory& memory, CopySide destination, Claim destination_claim, CopySide source,
           Claim source_claim, CopyExtent extent)
    : destination_(std::move(destination)),
      source_(std::move(source)),
      extent_(extent),
      to_(extent.empty() ? Place::kDevice : check(memory, destination_, destination_claim, extent)),
      from_(extent.empty() ? Place::kDevice : check(memory, source_, source_claim, extent)),
      of_graph_(is_of_graph(memory, destination_) || is_of_graph(memory, source_)) {}

void Copy::perform() const {
    if (!extent_.empty()) move(destination_, source_, extent_);
}

std::vector<std::byte> Copy::gather() const {
    std::vector<std::byte> bytes(extent_.bytes());
    const CopySide packed{reinterpret_cast<Address>(bytes.data()), extent_.width,
                          extent_.width * extent_.height, nullptr};
    move(packed, source_, extent_);
    return bytes;
}

void Copy::perform_now(Stream& stream) const {
    if (extent_.empty()) return;
    const auto good = [&](const CopySide& side, Place place) {
        return place == Place::kPageable || side.array != nullptr ||
               may_touch(stream, side.base, span_of(side, extent_));
    };
    if (good(destination_, to_) && good(source_, from_)) perform();
}

void Copy::take_turn(Stream& stream) const {
    if (of_graph_)
        perform_now(stream);
    else
        perform();
}

CUDA_MEMCPY3D Copy::description() const {
    CUDA_MEMCPY3D told{};
    const auto rows = [](const CopySide& side) {
        return side.pitch == 0 ? 0 : side.slice / side.pitch;
    };
    if (source_.array != nullptr) {
        const Corner at = corner_of(source_);
        told.srcMemoryType = CU_MEMORYTYPE_ARRAY;
        told.srcArray = source_.array->handle;
        told.srcXInBytes = at.x;
        told.srcY = at.y;
        told.srcZ = at.z;
    } else if (from_ == Place::kDevice) {
        told.srcMemoryType = CU_MEMORYTYPE_DEVICE;
        told.srcDevice = source_.base;
    } else {
        told.srcMemoryType = CU_MEMORYTYPE_HOST;
        told.srcHost = at(source_.base);
    }
    if (source_.array == nullptr) {
        told.srcPitch = source_.pitch;
        told.srcHeight = rows(source_);
    }
    if (destination_.array != nullptr) {
        const Corner at = corner_of(destination_);
        told.dstMemoryType = CU_MEMORYTYPE_ARRAY;
        told.dstArray = destination_.array->handle;
        told.dstXInBytes = at.x;
        told.dstY = at.y;
        told.dstZ = at.z;
    } else if (to_ == Place::kDevice) {
        told.dstMemoryType = CU_MEMORYTYPE_DEVICE;
        told.dstDevice = destination_.base;
    } else {
        told.dstMemoryType = CU_MEMORYTYPE_HOST;
        told.dstHost = at(destination_.base);
    }
    if (destination_.array == nullptr) {
        told.dstPitch = destination_.pitch;
        told.dstHeight = rows(destination_);
    }
    told.WidthInBytes = extent_.width;
    told.Height = extent_.height;
    told.Depth = extent_.depth;
    return told;
}

void CopyWork::run(Stream& stream) const {
    copy_.perform_now(stream);
}

void Copy::run(Context& context, const StreamRef& stream) const {
    Driver::get().captures().forbid(stream);
    if (to_ == Place::kDevice && from_ == Place::kDevice) {
        run_async(context, stream);
        return;
    }
    context.streams().execute(stream,
                              make_task([copy = *this](Stream& own) { copy.take_turn(own); }));
    context.flush_prints();
    context.require_healthy();
}

void Copy::run_async(Context& context, const StreamRef& stream) const {
    if (Driver::get().captures().take(stream, [&] { return std::make_shared<CopyWork>(*this); }))
        return;
    if (to_ == Place::kPageable ||
        (from_ == Place::kPageable && extent_.bytes() > kLargestStaged)) {
        context.streams().execute(stream,
                                  make_task([copy = *this](Stream& own) { copy.take_turn(own); }));
    } else if (from_ == Place::kPageable) {
        context.streams().submit(
            stream, make_task([copy = *this, bytes = gather()](Stream& own) mutable {
                copy.source_ = {reinterpret_cast<Address>(bytes.data()), copy.extent_.width,
                                copy.extent_.width * copy.extent_.height, nullptr};
                copy.take_turn(own);
            }));
    } else if (extent_.bytes() <= kBrief && !Driver::get().settings().strict) {
        context.streams().submit_brief(stream,
                                       [copy = *this](Stream& own) { copy.take_turn(own); });
    } else {
        context.streams().submit(stream,
                                 make_task([copy = *this](Stream& own) { copy.take_turn(own); }));
    }
}

}  // namespace cubar::softgpu::device
