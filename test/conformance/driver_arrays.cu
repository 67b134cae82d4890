// SPDX-License-Identifier: Apache-2.0
// Arrays and mipmapped arrays by the driver API: descriptions, every copy with them, captured ones
// too, and their errors.
#include <numeric>
#include <type_traits>

#include "driver_api.h"

namespace {

constexpr std::size_t kWidth = 48, kHeight = 5, kDepth = 3;
constexpr std::size_t kRow = kWidth * sizeof(float);

CUarray make_array(std::size_t width, std::size_t height, std::size_t depth, unsigned flags = 0,
                   CUarray_format format = CU_AD_FORMAT_FLOAT) {
    const CUDA_ARRAY3D_DESCRIPTOR shape{width, height, depth, format, 1, flags};
    CUarray array = nullptr;
    DRIVER(cuArray3DCreate(&array, &shape));
    return array;
}

std::vector<float> numbers(std::size_t count, float first) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
}

template <typename Copy>
Copy flat_of(std::size_t row, std::size_t height) {
    Copy copy{};
    copy.WidthInBytes = row;
    copy.Height = height;
    return copy;
}

template <typename Copy>
Copy box_of(std::size_t row, std::size_t height, std::size_t depth) {
    Copy copy = flat_of<Copy>(row, height);
    copy.Depth = depth;
    return copy;
}

CUDA_MEMCPY3D whole_box() {
    return box_of<CUDA_MEMCPY3D>(kRow, kHeight, kDepth);
}

// The ends of a copy: an array, or memory that holds the copied rows and nothing between them.
template <typename Copy>
void from_array(Copy& copy, CUarray array) {
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
}

template <typename Copy>
void to_array(Copy& copy, CUarray array) {
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
}

template <typename Copy>
void pack_source(Copy& copy) {
    copy.srcPitch = copy.WidthInBytes;
    if constexpr (!std::is_same_v<Copy, CUDA_MEMCPY2D>) copy.srcHeight = copy.Height;
}

template <typename Copy>
void pack_target(Copy& copy) {
    copy.dstPitch = copy.WidthInBytes;
    if constexpr (!std::is_same_v<Copy, CUDA_MEMCPY2D>) copy.dstHeight = copy.Height;
}

template <typename Copy>
void from_host(Copy& copy, const void* memory) {
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = memory;
    pack_source(copy);
}

template <typename Copy>
void to_host(Copy& copy, void* memory) {
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = memory;
    pack_target(copy);
}

template <typename Copy>
void from_device(Copy& copy, CUdeviceptr memory) {
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = memory;
    pack_source(copy);
}

template <typename Copy>
void to_device(Copy& copy, CUdeviceptr memory) {
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = memory;
    pack_target(copy);
}

void descriptions() {
    const CUDA_ARRAY_DESCRIPTOR flat{kWidth, kHeight, CU_AD_FORMAT_UNSIGNED_INT8, 4};
    CUarray array = nullptr;
    DRIVER(cuArrayCreate(&array, &flat));
    CUDA_ARRAY_DESCRIPTOR told{};
    DRIVER(cuArrayGetDescriptor(&told, array));
    CHECK(told.Width == kWidth && told.Height == kHeight && told.NumChannels == 4);
    CHECK(told.Format == CU_AD_FORMAT_UNSIGNED_INT8);
    CUDA_ARRAY3D_DESCRIPTOR whole{};
    DRIVER(cuArray3DGetDescriptor(&whole, array));
    CHECK(whole.Width == kWidth && whole.Depth == 0 && whole.Flags == 0);
    DRIVER(cuArrayDestroy(array));
    DRIVER_FAILS(cuArrayDestroy(nullptr), CUDA_ERROR_INVALID_HANDLE);
    DRIVER_FAILS(cuArrayCreate(nullptr, &flat), CUDA_ERROR_INVALID_VALUE);
    const CUDA_ARRAY_DESCRIPTOR three{kWidth, kHeight, CU_AD_FORMAT_FLOAT, 3};
    DRIVER_FAILS(cuArrayCreate(&array, &three), CUDA_ERROR_INVALID_VALUE);
    const CUDA_ARRAY_DESCRIPTOR none{0, kHeight, CU_AD_FORMAT_FLOAT, 1};
    DRIVER_FAILS(cuArrayCreate(&array, &none), CUDA_ERROR_INVALID_VALUE);

    const CUDA_ARRAY3D_DESCRIPTOR first{16, 4, 0, CU_AD_FORMAT_FLOAT, 1, 0};
    CUmipmappedArray mipmapped = nullptr;
    DRIVER(cuMipmappedArrayCreate(&mipmapped, &first, 3));
    CUarray level = nullptr, again = nullptr;
    DRIVER(cuMipmappedArrayGetLevel(&level, mipmapped, 2));
    DRIVER(cuMipmappedArrayGetLevel(&again, mipmapped, 2));
    CHECK(level == again);
    DRIVER(cuArray3DGetDescriptor(&whole, level));
    CHECK(whole.Width == 4 && whole.Height == 1);
    DRIVER_FAILS(cuMipmappedArrayGetLevel(&level, mipmapped, 3), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMipmappedArrayDestroy(mipmapped));
}

// All ways of one dimension: host, device and arrays, waiting or not.
void rows(CUstream stream) {
    CUarray one = make_array(kWidth, 0, 0), other = make_array(kWidth, 0, 0);
    const std::vector<float> values = numbers(kWidth, 1);
    CUdeviceptr memory = 0;
    DRIVER(cuMemAlloc(&memory, kRow));
    std::vector<float> back(kWidth);

    DRIVER(cuMemcpyHtoA(one, 0, values.data(), kRow));
    DRIVER(cuMemcpyAtoA(other, 8, one, 4, kRow - 8));
    DRIVER(cuMemcpyAtoD(memory, other, 8, kRow - 8));
    DRIVER(cuMemcpyDtoA(other, 0, memory, 16));
    DRIVER(cuMemcpyAtoH(back.data(), other, 0, kRow));
    for (std::size_t i = 0; i < kWidth; ++i)
        CHECK_AT(i, back[i], i < 4 ? values[i + 1] : values[i - 1]);
    conformance::report("rows", back);

    // The source is read before the call returns.
    std::vector<float> source = numbers(kWidth, 100);
    DRIVER(cuMemcpyHtoAAsync(one, 0, source.data(), kRow, stream));
    source.assign(kWidth, -1);
    DRIVER(cuMemcpyAtoHAsync(back.data(), one, 0, kRow, stream));
    DRIVER(cuStreamSynchronize(stream));
    CHECK(back == numbers(kWidth, 100));

    DRIVER_FAILS(cuMemcpyHtoA(one, 0, values.data(), kRow + 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemcpyHtoA(one, kRow, values.data(), 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemcpyHtoA(nullptr, 0, values.data(), 4), CUDA_ERROR_INVALID_HANDLE);
    DRIVER(cuMemFree(memory));
    DRIVER(cuArrayDestroy(one));
    DRIVER(cuArrayDestroy(other));
}

// A box into an array and out of it, by pageable, pinned and device memory.
void boxes(CUstream stream) {
    CUarray array = make_array(kWidth, kHeight, kDepth);
    const std::size_t count = kWidth * kHeight * kDepth;
    const std::vector<float> values = numbers(count, 7);
    CUDA_MEMCPY3D copy = whole_box();
    from_host(copy, values.data());
    to_array(copy, array);
    DRIVER(cuMemcpy3DAsync(&copy, stream));

    // A corner of it moves within the array, by device memory.
    CUdeviceptr memory = 0;
    DRIVER(cuMemAlloc(&memory, count * sizeof(float)));
    auto corner = box_of<CUDA_MEMCPY3D>(8 * sizeof(float), 2, 1);
    from_array(corner, array);
    corner.srcXInBytes = 40 * sizeof(float);
    corner.srcY = 3;
    corner.srcZ = 2;
    to_device(corner, memory);
    DRIVER(cuMemcpy3DAsync(&corner, stream));
    auto flat = flat_of<CUDA_MEMCPY2D>(8 * sizeof(float), 2);
    from_device(flat, memory);
    to_array(flat, array);
    flat.dstXInBytes = 4 * sizeof(float);
    flat.dstY = 1;
    DRIVER(cuMemcpy2DAsync(&flat, stream));

    float* pinned = nullptr;
    DRIVER(cuMemAllocHost(reinterpret_cast<void**>(&pinned), count * sizeof(float)));
    copy = whole_box();
    from_array(copy, array);
    to_host(copy, pinned);
    DRIVER(cuMemcpy3DAsync(&copy, stream));
    DRIVER(cuStreamSynchronize(stream));
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t x = i % kWidth, y = i / kWidth % kHeight, z = i / kWidth / kHeight;
        const bool moved = z == 0 && (y == 1 || y == 2) && x >= 4 && x < 12;
        const std::size_t from = moved ? ((z + 2) * kHeight + y + 2) * kWidth + x + 36 : i;
        CHECK_AT(i, pinned[i], values[from]);
    }
    conformance::report("boxes", pinned, count);

    copy.dstHost = pinned;
    copy.srcZ = 1;
    DRIVER_FAILS(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_VALUE);
    copy.srcZ = 0;
    copy.srcXInBytes = 2;
    copy.WidthInBytes = 8;
    DRIVER_FAILS(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemFreeHost(pinned));
    DRIVER(cuMemFree(memory));
    DRIVER(cuArrayDestroy(array));
    DRIVER_FAILS(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_HANDLE);
}

// The peer form, within one context: a slice of one array becomes a slice of another.
void peers(CUcontext context, CUstream stream) {
    CUarray one = make_array(kWidth, kHeight, kDepth), other = make_array(kWidth, kHeight, kDepth);
    const std::size_t slice = kWidth * kHeight;
    const std::vector<float> values = numbers(slice * kDepth, 21);
    auto in = box_of<CUDA_MEMCPY3D_PEER>(kRow, kHeight, kDepth);
    in.srcContext = in.dstContext = context;
    from_host(in, values.data());
    to_array(in, one);
    DRIVER(cuMemcpy3DPeer(&in));
    auto across = box_of<CUDA_MEMCPY3D_PEER>(kRow, kHeight, 1);
    across.srcContext = across.dstContext = context;
    from_array(across, one);
    across.srcZ = 2;
    to_array(across, other);
    across.dstZ = 1;
    DRIVER(cuMemcpy3DPeerAsync(&across, stream));
    DRIVER(cuStreamSynchronize(stream));
    std::vector<float> back(slice);
    auto out = box_of<CUDA_MEMCPY3D>(kRow, kHeight, 1);
    from_array(out, other);
    out.srcZ = 1;
    to_host(out, back.data());
    DRIVER(cuMemcpy3D(&out));
    for (std::size_t i = 0; i < slice; ++i) CHECK_AT(i, back[i], values[2 * slice + i]);
    across.dstZ = kDepth;
    DRIVER_FAILS(cuMemcpy3DPeer(&across), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuArrayDestroy(one));
    DRIVER(cuArrayDestroy(other));
}

// Rows that no staging chunk holds.
void long_rows() {
    constexpr std::size_t kLong = 65536;
    const CUDA_ARRAY3D_DESCRIPTOR shape{kLong, 2, 0, CU_AD_FORMAT_FLOAT, 4, 0};
    CUarray array = nullptr;
    DRIVER(cuArray3DCreate(&array, &shape));
    const std::vector<float> values = numbers(kLong * 4 * 2, 0);
    auto copy = flat_of<CUDA_MEMCPY2D>(kLong * 16, 2);
    from_host(copy, values.data());
    to_array(copy, array);
    DRIVER(cuMemcpy2D(&copy));
    std::vector<float> back(values.size());
    auto out = flat_of<CUDA_MEMCPY2D>(kLong * 16, 2);
    from_array(out, array);
    to_host(out, back.data());
    DRIVER(cuMemcpy2D(&out));
    CHECK(back == values);
    DRIVER(cuArrayDestroy(array));
}

// Pageable memory into an array, the array into pageable memory, launched twice.
void captured(CUstream stream) {
    CUarray array = make_array(kWidth, kHeight, 0);
    std::vector<float> source = numbers(kWidth * kHeight, 0), target(source.size());
    auto in = flat_of<CUDA_MEMCPY2D>(kRow, kHeight);
    from_host(in, source.data());
    to_array(in, array);
    auto out = flat_of<CUDA_MEMCPY2D>(kRow, kHeight);
    from_array(out, array);
    to_host(out, target.data());
    DRIVER(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    DRIVER(cuMemcpy2DAsync(&in, stream));
    DRIVER(cuMemcpy2DAsync(&out, stream));
    CUgraph graph = nullptr;
    DRIVER(cuStreamEndCapture(stream, &graph));
    CUgraphNode node = nullptr;
    std::size_t roots = 1;
    DRIVER(cuGraphGetRootNodes(graph, &node, &roots));
    CHECK(roots == 1);
    CUDA_MEMCPY3D told{};
    DRIVER(cuGraphMemcpyNodeGetParams(node, &told));
    CHECK(told.dstMemoryType == CU_MEMORYTYPE_ARRAY && told.dstArray == array);
    CUgraphExec exec = nullptr;
    DRIVER(cuGraphInstantiate(&exec, graph, 0));
    for (float first : {10.0f, 500.0f}) {
        std::iota(source.begin(), source.end(), first);
        DRIVER(cuGraphLaunch(exec, stream));
        DRIVER(cuStreamSynchronize(stream));
        CHECK(target == source);
    }
    DRIVER(cuGraphExecDestroy(exec));
    DRIVER(cuGraphDestroy(graph));
    DRIVER(cuArrayDestroy(array));
    conformance::report("captured", target);
}

// A node made by hand.
void added(CUstream stream) {
    CUarray array = make_array(kWidth, kHeight, kDepth);
    CUdeviceptr memory = 0;
    const std::size_t count = kWidth * kHeight * kDepth;
    DRIVER(cuMemAlloc(&memory, count * sizeof(float)));
    const std::vector<float> values = numbers(count, 3);
    DRIVER(cuMemcpyHtoD(memory, values.data(), count * sizeof(float)));
    CUDA_MEMCPY3D copy = whole_box();
    from_device(copy, memory);
    to_array(copy, array);
    CUcontext context = nullptr;
    DRIVER(cuCtxGetCurrent(&context));
    CUgraph graph = nullptr;
    CUgraphNode in = nullptr, out = nullptr;
    DRIVER(cuGraphCreate(&graph, 0));
    DRIVER(cuGraphAddMemcpyNode(&in, graph, nullptr, 0, &copy, context));
    std::vector<float> back(count);
    copy = whole_box();
    from_array(copy, array);
    to_host(copy, back.data());
    DRIVER(cuGraphAddMemcpyNode(&out, graph, &in, 1, &copy, context));
    CUgraphExec exec = nullptr;
    DRIVER(cuGraphInstantiate(&exec, graph, 0));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuStreamSynchronize(stream));
    CHECK(back == values);
    DRIVER(cuGraphExecDestroy(exec));
    DRIVER(cuGraphDestroy(graph));
    DRIVER(cuMemFree(memory));
    DRIVER(cuArrayDestroy(array));
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    CUstream stream = nullptr;
    // Behind the legacy stream: a copy from pageable memory may return before it has arrived.
    DRIVER(cuStreamCreate(&stream, CU_STREAM_DEFAULT));
    descriptions();
    rows(stream);
    boxes(stream);
    peers(context.context(), stream);
    long_rows();
    captured(stream);
    added(stream);
    DRIVER(cuStreamDestroy(stream));
    std::printf("done\n");
    return 0;
}
