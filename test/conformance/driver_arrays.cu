// SPDX-License-Identifier: Apache-2.0
// Arrays and mipmapped arrays by the driver API: descriptions, every copy with them, captured ones
// too, and their errors.
#include <numeric>

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

CUDA_MEMCPY3D whole_box() {
    CUDA_MEMCPY3D copy{};
    copy.srcPitch = copy.dstPitch = kRow;
    copy.srcHeight = copy.dstHeight = kHeight;
    copy.WidthInBytes = kRow;
    copy.Height = kHeight;
    copy.Depth = kDepth;
    return copy;
}

// A box into an array and out of it, by pageable, pinned and device memory.
void boxes(CUstream stream) {
    CUarray array = make_array(kWidth, kHeight, kDepth);
    const std::size_t count = kWidth * kHeight * kDepth;
    const std::vector<float> values = numbers(count, 7);
    CUDA_MEMCPY3D copy = whole_box();
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = values.data();
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    DRIVER(cuMemcpy3DAsync(&copy, stream));

    // A corner of it moves within the array, by device memory.
    CUdeviceptr memory = 0;
    DRIVER(cuMemAlloc(&memory, count * sizeof(float)));
    CUDA_MEMCPY3D corner{};
    corner.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    corner.srcArray = array;
    corner.srcXInBytes = 40 * sizeof(float);
    corner.srcY = 3;
    corner.srcZ = 2;
    corner.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    corner.dstDevice = memory;
    corner.dstPitch = 8 * sizeof(float);
    corner.dstHeight = 2;
    corner.WidthInBytes = 8 * sizeof(float);
    corner.Height = 2;
    corner.Depth = 1;
    DRIVER(cuMemcpy3DAsync(&corner, stream));
    CUDA_MEMCPY2D flat{};
    flat.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    flat.srcDevice = memory;
    flat.srcPitch = 8 * sizeof(float);
    flat.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    flat.dstArray = array;
    flat.dstXInBytes = 4 * sizeof(float);
    flat.dstY = 1;
    flat.WidthInBytes = 8 * sizeof(float);
    flat.Height = 2;
    DRIVER(cuMemcpy2DAsync(&flat, stream));

    float* pinned = nullptr;
    DRIVER(cuMemAllocHost(reinterpret_cast<void**>(&pinned), count * sizeof(float)));
    copy = whole_box();
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = pinned;
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
    CUDA_MEMCPY3D_PEER in{};
    in.srcContext = in.dstContext = context;
    in.srcMemoryType = CU_MEMORYTYPE_HOST;
    in.srcHost = values.data();
    in.srcPitch = kRow;
    in.srcHeight = kHeight;
    in.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    in.dstArray = one;
    in.WidthInBytes = kRow;
    in.Height = kHeight;
    in.Depth = kDepth;
    DRIVER(cuMemcpy3DPeer(&in));
    CUDA_MEMCPY3D_PEER across{};
    across.srcContext = across.dstContext = context;
    across.srcMemoryType = across.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    across.srcArray = one;
    across.dstArray = other;
    across.srcZ = 2;
    across.dstZ = 1;
    across.WidthInBytes = kRow;
    across.Height = kHeight;
    across.Depth = 1;
    DRIVER(cuMemcpy3DPeerAsync(&across, stream));
    DRIVER(cuStreamSynchronize(stream));
    std::vector<float> back(slice);
    CUDA_MEMCPY3D out{};
    out.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    out.srcArray = other;
    out.srcZ = 1;
    out.dstMemoryType = CU_MEMORYTYPE_HOST;
    out.dstHost = back.data();
    out.dstPitch = kRow;
    out.dstHeight = kHeight;
    out.WidthInBytes = kRow;
    out.Height = kHeight;
    out.Depth = 1;
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
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = values.data();
    copy.srcPitch = kLong * 16;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    copy.WidthInBytes = kLong * 16;
    copy.Height = 2;
    DRIVER(cuMemcpy2D(&copy));
    std::vector<float> back(values.size());
    CUDA_MEMCPY2D out{};
    out.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    out.srcArray = array;
    out.dstMemoryType = CU_MEMORYTYPE_HOST;
    out.dstHost = back.data();
    out.dstPitch = kLong * 16;
    out.WidthInBytes = kLong * 16;
    out.Height = 2;
    DRIVER(cuMemcpy2D(&out));
    CHECK(back == values);
    DRIVER(cuArrayDestroy(array));
}

// Pageable memory into an array, the array into pageable memory, launched twice.
void captured(CUstream stream) {
    CUarray array = make_array(kWidth, kHeight, 0);
    std::vector<float> source = numbers(kWidth * kHeight, 0), target(source.size());
    CUDA_MEMCPY2D in{};
    in.srcMemoryType = CU_MEMORYTYPE_HOST;
    in.srcHost = source.data();
    in.srcPitch = kRow;
    in.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    in.dstArray = array;
    in.WidthInBytes = kRow;
    in.Height = kHeight;
    CUDA_MEMCPY2D out{};
    out.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    out.srcArray = array;
    out.dstMemoryType = CU_MEMORYTYPE_HOST;
    out.dstHost = target.data();
    out.dstPitch = kRow;
    out.WidthInBytes = kRow;
    out.Height = kHeight;
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
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = memory;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    CUcontext context = nullptr;
    DRIVER(cuCtxGetCurrent(&context));
    CUgraph graph = nullptr;
    CUgraphNode in = nullptr, out = nullptr;
    DRIVER(cuGraphCreate(&graph, 0));
    DRIVER(cuGraphAddMemcpyNode(&in, graph, nullptr, 0, &copy, context));
    std::vector<float> back(count);
    copy = whole_box();
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = back.data();
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
