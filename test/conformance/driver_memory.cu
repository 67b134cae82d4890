// SPDX-License-Identifier: Apache-2.0
// Memory through the driver API: pitched copies with offsets, 3D, every memset width, attributes.
#include "driver_api.h"

namespace {

void copies_2d() {
    CUdeviceptr memory;
    std::size_t pitch = 0;
    DRIVER(cuMemAllocPitch(&memory, &pitch, 50 * sizeof(int), 20, 4));
    CHECK(pitch >= 200 && pitch % 16 == 0);
    DRIVER(cuMemsetD2D32(memory, pitch, 0xabcdu, 50, 20));
    std::vector<int> source(64 * 32), result(64 * 32, -7);
    for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<int>(i);

    CUDA_MEMCPY2D in = {};
    in.srcMemoryType = CU_MEMORYTYPE_HOST;
    in.srcHost = source.data();
    in.srcPitch = 64 * sizeof(int);
    in.srcXInBytes = 3 * sizeof(int);
    in.srcY = 2;
    in.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    in.dstDevice = memory;
    in.dstPitch = pitch;
    in.dstXInBytes = 10 * sizeof(int);
    in.dstY = 5;
    in.WidthInBytes = 30 * sizeof(int);
    in.Height = 12;
    DRIVER(cuMemcpy2D(&in));

    CUDA_MEMCPY2D out = {};
    out.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    out.srcDevice = memory;
    out.srcPitch = pitch;
    out.dstMemoryType = CU_MEMORYTYPE_HOST;
    out.dstHost = result.data();
    out.dstPitch = 64 * sizeof(int);
    out.WidthInBytes = 50 * sizeof(int);
    out.Height = 20;
    DRIVER(cuMemcpy2DUnaligned(&out));
    for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 64; ++x) {
            const bool copied = x >= 10 && x < 40 && y >= 5 && y < 17;
            const int expected = copied             ? source[(y - 3) * 64 + x - 7]
                                 : x < 50 && y < 20 ? 0xabcd
                                                    : -7;
            CHECK_AT(y * 64 + x, result[y * 64 + x], expected);
        }
    conformance::report("2D", result);
    out.WidthInBytes = pitch + 4;
    DRIVER_FAILS(cuMemcpy2D(&out), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemFree(memory));
}

void copies_3d() {
    CUdeviceptr memory;
    DRIVER(cuMemAlloc(&memory, 8 * 6 * 4));
    std::vector<unsigned char> source(8 * 6 * 4), result(3 * 2 * 2);
    for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<unsigned char>(i);
    DRIVER(cuMemcpyHtoD(memory, source.data(), source.size()));
    CUDA_MEMCPY3D out = {};
    out.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    out.srcDevice = memory;
    out.srcPitch = 8;
    out.srcHeight = 6;
    out.srcXInBytes = 4;
    out.srcY = 3;
    out.srcZ = 1;
    out.dstMemoryType = CU_MEMORYTYPE_HOST;
    out.dstHost = result.data();
    out.dstPitch = 3;
    out.dstHeight = 2;
    out.WidthInBytes = 3;
    out.Height = 2;
    out.Depth = 2;
    DRIVER(cuMemcpy3D(&out));
    for (int z = 0; z < 2; ++z)
        for (int y = 0; y < 2; ++y)
            for (int x = 0; x < 3; ++x)
                CHECK_AT((z * 2 + y) * 3 + x, result[(z * 2 + y) * 3 + x],
                         source[((z + 1) * 6 + y + 3) * 8 + x + 4]);
    conformance::report("3D", result);
    DRIVER(cuMemFree(memory));
}

void memsets() {
    CUdeviceptr memory;
    std::vector<unsigned char> result(64);
    DRIVER(cuMemAlloc(&memory, 64));
    DRIVER(cuMemsetD8(memory, 1, 64));
    DRIVER(cuMemsetD16(memory + 2, 0x0302, 5));
    DRIVER(cuMemsetD32(memory + 16, 0x07060504u, 4));
    DRIVER(cuMemsetD2D8(memory + 40, 8, 9, 3, 2));
    DRIVER(cuMemsetD2D16(memory + 56, 4, 0x0b0a, 1, 2));
    DRIVER(cuMemcpyDtoH(result.data(), memory, 64));
    const unsigned char expected[64] = {1, 1, 2, 3, 2, 3, 2, 3, 2,  3,  2, 3, 1,  1,  1, 1,
                                        4, 5, 6, 7, 4, 5, 6, 7, 4,  5,  6, 7, 4,  5,  6, 7,
                                        1, 1, 1, 1, 1, 1, 1, 1, 9,  9,  9, 1, 1,  1,  1, 1,
                                        9, 9, 9, 1, 1, 1, 1, 1, 10, 11, 1, 1, 10, 11, 1, 1};
    for (int i = 0; i < 64; ++i) CHECK_AT(i, result[i], expected[i]);
    conformance::report("memset", result);
    DRIVER_FAILS(cuMemsetD32(memory + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemsetD16(memory + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemFree(memory));
    DRIVER_FAILS(cuMemFree(memory), CUDA_ERROR_INVALID_VALUE);
}

void attributes(const conformance::PrimaryContext& context) {
    CUdeviceptr memory, start = 0;
    std::size_t size = 0;
    DRIVER(cuMemAlloc(&memory, 5000));
    DRIVER(cuMemGetAddressRange(&start, &size, memory + 4999));
    CHECK(start == memory && size == 5000);
    DRIVER_FAILS(cuMemGetAddressRange(&start, &size, 16), CUDA_ERROR_NOT_FOUND);

    CUmemorytype type = CU_MEMORYTYPE_ARRAY;
    CUcontext owner = nullptr;
    int ordinal = -1;
    unsigned managed = 7;
    CUdeviceptr base = 0, pointer = 0;
    CUpointer_attribute names[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE,      CU_POINTER_ATTRIBUTE_CONTEXT,
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,   CU_POINTER_ATTRIBUTE_IS_MANAGED,
        CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
        CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void* data[] = {&type, &owner, &ordinal, &managed, &base, &pointer, &size};
    DRIVER(cuPointerGetAttributes(7, names, data, memory + 100));
    CHECK(type == CU_MEMORYTYPE_DEVICE && owner == context.context() && ordinal == 0);
    CHECK(managed == 0 && base == memory && pointer == memory + 100 && size == 5000);

    void* host = nullptr;
    DRIVER(cuMemHostAlloc(&host, 4096, CU_MEMHOSTALLOC_DEVICEMAP));
    const auto address = reinterpret_cast<CUdeviceptr>(host);
    DRIVER(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address));
    CHECK(type == CU_MEMORYTYPE_HOST);
    unsigned flags = 0;
    DRIVER(cuMemHostGetFlags(&flags, host));
    CHECK(flags & CU_MEMHOSTALLOC_DEVICEMAP);
    int local = 0;
    DRIVER_FAILS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                       reinterpret_cast<CUdeviceptr>(&local)),
                 CUDA_ERROR_INVALID_VALUE);

    // Direction found out by the addresses.
    std::memset(host, 0x3c, 4096);
    DRIVER(cuMemcpy(memory, address, 4096));
    DRIVER(cuMemcpyDtoD(memory + 4096, memory + 10, 900));
    unsigned char bytes[900];
    DRIVER(cuMemcpyDtoH(bytes, memory + 4096, sizeof bytes));
    CHECK(std::all_of(bytes, bytes + sizeof bytes, [](unsigned char b) { return b == 0x3c; }));
    DRIVER(cuMemFreeHost(host));
    DRIVER(cuMemFree(memory));
    DRIVER_FAILS(cuMemAlloc(&memory, 0), CUDA_ERROR_INVALID_VALUE);
    std::size_t available = 0, total = 0;
    DRIVER(cuMemGetInfo(&available, &total));
    CHECK(available <= total && total > 0);
    std::printf("attributes\n");
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    copies_2d();
    copies_3d();
    memsets();
    attributes(context);
    return 0;
}
