// SPDX-License-Identifier: Apache-2.0
// Virtual memory management as ggml's pool uses it: a large reservation, into which memory is
// mapped piece by piece, and which is unmapped at once; and what is refused.
#include "driver_api.h"

namespace {

__global__ void fill(unsigned* words, std::size_t count, unsigned seed) {
    const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
    for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
        words[i] = static_cast<unsigned>(i) * 2654435761u + seed;
}

constexpr std::size_t kReservation = std::size_t{32} << 30;
constexpr int kPieces = 3;

CUmemAllocationProp on_device(CUdevice device) {
    CUmemAllocationProp properties = {};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device;
    return properties;
}

CUmemAccessDesc access_of(CUdevice device, CUmemAccess_flags flags) {
    CUmemAccessDesc access = {};
    access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access.location.id = device;
    access.flags = flags;
    return access;
}

std::size_t free_memory() {
    std::size_t free = 0, total = 0;
    DRIVER(cuMemGetInfo(&free, &total));
    return free;
}

std::size_t granularity_of(const CUmemAllocationProp& properties) {
    std::size_t minimum = 0, recommended = 0;
    DRIVER(cuMemGetAllocationGranularity(&minimum, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    DRIVER(cuMemGetAllocationGranularity(&recommended, &properties,
                                         CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    CHECK(minimum != 0 && recommended % minimum == 0);
    return recommended;
}

void map(CUdeviceptr address, std::size_t size, const CUmemAllocationProp& properties) {
    CUmemGenericAllocationHandle handle = 0;
    DRIVER(cuMemCreate(&handle, size, &properties, 0));
    DRIVER(cuMemMap(address, size, 0, handle, 0));
    DRIVER(cuMemRelease(handle));  // the mapping keeps the memory
    const CUmemAccessDesc access =
        access_of(properties.location.id, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    DRIVER(cuMemSetAccess(address, size, &access, 1));
}

/// Copies, fills and kernels do not see where one piece ends and the next begins.
void grows(CUdevice device) {
    const CUmemAllocationProp properties = on_device(device);
    const std::size_t piece = granularity_of(properties);
    CUdeviceptr base = 0;
    DRIVER(cuMemAddressReserve(&base, kReservation, 0, 0, 0));
    const std::size_t before = free_memory();
    for (int i = 0; i < kPieces; ++i) map(base + i * piece, piece, properties);
    CHECK(before - free_memory() >= kPieces * piece);

    const std::size_t count = kPieces * piece / sizeof(unsigned);
    fill<<<32, 256>>>(reinterpret_cast<unsigned*>(base), count, 7);
    CUDA(cudaDeviceSynchronize());
    std::vector<unsigned> words(count);
    DRIVER(cuMemcpyDtoH(words.data(), base, kPieces * piece));
    for (std::size_t i = 0; i < count; i += 997)
        CHECK_AT(i, words[i], static_cast<unsigned>(i) * 2654435761u + 7);
    conformance::report("pieces", words);

    DRIVER(cuMemsetD32(base + piece - 400, 0x01020304, 200));
    DRIVER(cuMemcpyDtoD(base + 2 * piece - 400, base + piece - 400, 800));
    DRIVER(cuMemcpyHtoD(base + piece - 8, words.data(), 16));
    DRIVER(cuMemcpyDtoH(words.data(), base, kPieces * piece));
    conformance::report("across", words);
    CHECK(words[(2 * piece - 4) / 4] == 0x01020304u);
    CHECK(words[(2 * piece + 396) / 4] == 0x01020304u);

    DRIVER(cuMemUnmap(base, kPieces * piece));
    DRIVER(cuMemAddressFree(base, kReservation));
    CHECK(free_memory() + piece > before);
    std::printf("grown by %d pieces\n", kPieces);
}

/// A wished address is a hint; a range that is free is given.
void hints(CUdevice device) {
    const std::size_t piece = granularity_of(on_device(device));
    CUdeviceptr first = 0, second = 0;
    DRIVER(cuMemAddressReserve(&first, 4 * piece, 8 * piece, 0, 0));
    CHECK(first % (8 * piece) == 0);
    DRIVER(cuMemAddressReserve(&second, piece, 0, first, 0));
    CHECK(second != first);
    DRIVER(cuMemAddressFree(second, piece));
    DRIVER(cuMemAddressFree(first, 4 * piece));
    DRIVER(cuMemAddressReserve(&second, piece, 0, first, 0));
    CHECK(second == first);
    DRIVER(cuMemAddressFree(second, piece));
    DRIVER_FAILS(cuMemAddressFree(second, piece), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemAddressReserve(&second, 0, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemAddressReserve(&second, piece, 3 * piece, 0, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemAddressReserve(&second, piece, 0, 0, 1), CUDA_ERROR_INVALID_VALUE);
    std::printf("hints: taken where free\n");
}

/// One memory at two places, and handles that count.
void aliases(CUdevice device) {
    const CUmemAllocationProp properties = on_device(device);
    const std::size_t piece = granularity_of(properties);
    CUdeviceptr base = 0;
    DRIVER(cuMemAddressReserve(&base, 4 * piece, 0, 0, 0));
    CUmemGenericAllocationHandle handle = 0, again = 0;
    DRIVER(cuMemCreate(&handle, piece, &properties, 0));
    DRIVER(cuMemMap(base, piece, 0, handle, 0));
    DRIVER(cuMemMap(base + piece, piece, 0, handle, 0));
    const CUmemAccessDesc access = access_of(device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    DRIVER(cuMemSetAccess(base, 2 * piece, &access, 1));
    DRIVER(cuMemsetD32(base, 41, 1));
    DRIVER(cuCtxSynchronize());
    unsigned value = 0;
    DRIVER(cuMemcpyDtoH(&value, base + piece, sizeof value));
    CHECK(value == 41);
    DRIVER(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(base + piece + 8)));
    CHECK(again == handle);
    CUmemAllocationProp got = {};
    DRIVER(cuMemGetAllocationPropertiesFromHandle(&got, again));
    CHECK(got.type == CU_MEM_ALLOCATION_TYPE_PINNED && got.location.id == device &&
          got.location.type == CU_MEM_LOCATION_TYPE_DEVICE && got.requestedHandleTypes == 0);
    DRIVER(cuMemRelease(again));
    DRIVER(cuMemUnmap(base, piece));
    DRIVER(cuMemRelease(handle));
    DRIVER(cuMemcpyDtoH(&value, base + piece, sizeof value));
    CHECK(value == 41);
    DRIVER(cuMemUnmap(base + piece, piece));
    DRIVER(cuMemAddressFree(base, 4 * piece));
    std::printf("aliases: one memory at two places\n");
}

void pointers(CUdevice device) {
    const CUmemAllocationProp properties = on_device(device);
    const std::size_t piece = granularity_of(properties);
    CUdeviceptr base = 0, start = 0;
    std::size_t size = 0;
    DRIVER(cuMemAddressReserve(&base, 4 * piece, 0, 0, 0));
    map(base + piece, piece, properties);
    const CUdeviceptr pointer = base + piece + 12;
    unsigned type = 0, mapped = 2, flags = 9;
    int ordinal = -1;
    DRIVER(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer));
    DRIVER(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, pointer));
    CHECK(type == CU_MEMORYTYPE_DEVICE && ordinal == device);
    DRIVER(cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_MAPPED, pointer));
    CHECK(mapped == 1);
    DRIVER(cuPointerGetAttribute(&flags, CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, pointer));
    CHECK(flags == CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
    DRIVER(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, pointer));
    DRIVER(cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, pointer));
    CHECK(start == base && size == 4 * piece);
    DRIVER(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, pointer));
    DRIVER(cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_MAPPING_SIZE, pointer));
    CHECK(start == base + piece && size == piece);
    DRIVER(cuMemGetAddressRange(&start, &size, pointer));
    CHECK(start == base + piece && size == piece);
    DRIVER(cuMemUnmap(base + piece, piece));
    DRIVER(cuMemAddressFree(base, 4 * piece));
    std::printf("pointers: mapping and reservation\n");
}

void refusals(CUdevice device) {
    const CUmemAllocationProp properties = on_device(device);
    const std::size_t piece = granularity_of(properties);
    CUdeviceptr base = 0;
    DRIVER(cuMemAddressReserve(&base, 4 * piece, 0, 0, 0));
    CUmemGenericAllocationHandle handle = 0, other = 0;
    DRIVER_FAILS(cuMemCreate(&other, piece / 2, &properties, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemCreate(&other, piece, &properties, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemCreate(&other, piece, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemCreate(&other, std::size_t{1} << 44, &properties, 0),
                 CUDA_ERROR_OUT_OF_MEMORY);
    CUmemAllocationProp nowhere = properties;
    nowhere.location.id = 999;
    DRIVER_FAILS(cuMemCreate(&other, piece, &nowhere, 0), CUDA_ERROR_INVALID_DEVICE);
    DRIVER(cuMemCreate(&handle, 2 * piece, &properties, 0));

    DRIVER_FAILS(cuMemMap(base, 3 * piece, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemMap(base + 1, piece, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemMap(base + 4 * piece, piece, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemMap(base, 2 * piece, 0, handle, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemMap(base + piece, 2 * piece, 0, handle, 0));
    DRIVER_FAILS(cuMemMap(base, 2 * piece, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemUnmap(base + piece, piece), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemUnmap(base, piece), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemFree(base + piece), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemAddressFree(base, piece), CUDA_ERROR_INVALID_VALUE);

    // Mapped, and nobody may touch it: then granted, and then taken again.
    unsigned long long flags = 9;
    CUmemAccessDesc access = access_of(device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    DRIVER(cuMemGetAccess(&flags, &access.location, base + piece));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    DRIVER_FAILS(cuMemSetAccess(base, 4 * piece, &access, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemSetAccess(base + piece, 2 * piece, &access, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemSetAccess(base + piece, 2 * piece, &access, 1));
    DRIVER(cuMemGetAccess(&flags, &access.location, base + 2 * piece));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    unsigned value = 5;
    DRIVER(cuMemcpyHtoD(base + piece, &value, sizeof value));
    DRIVER_FAILS(cuMemcpyHtoD(base, &value, sizeof value), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemsetD8(base + 3 * piece - 1, 0, 2), CUDA_ERROR_INVALID_VALUE);
    access = access_of(device, CU_MEM_ACCESS_FLAGS_PROT_NONE);
    DRIVER(cuMemSetAccess(base + piece, 2 * piece, &access, 1));
    DRIVER(cuMemGetAccess(&flags, &access.location, base + piece));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);

    DRIVER(cuMemUnmap(base + piece, 2 * piece));
    DRIVER_FAILS(cuMemUnmap(base + piece, 2 * piece), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemRelease(handle));
    DRIVER_FAILS(cuMemRelease(handle), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemMap(base, piece, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemAddressFree(base, 4 * piece));
    std::printf("refusals: as CUDA's\n");
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    int supported = 0;
    DRIVER(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                                context.device()));
    CHECK(supported == 1);
    grows(context.device());
    hints(context.device());
    aliases(context.device());
    pointers(context.device());
    refusals(context.device());
    return 0;
}
