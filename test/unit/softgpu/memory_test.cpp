// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <vector>

#include "softgpu/device/error.h"

using namespace cubar::softgpu::device;

namespace {

constexpr MemoryOwner kOwner{nullptr, 0};

CUresult error_of(auto body) {
    try {
        body();
        return CUDA_SUCCESS;
    } catch (const Error& error) {
        return error.code();
    }
}

bool is_any(const Allocation&) {
    return true;
}

}  // namespace

TEST_CASE("an address is found inside its allocation and nowhere else") {
    Memory memory(false);
    Heap heap(memory.space(), 4 * kPageSize);
    const AllocationRef one = memory.allocate(heap, kOwner, 100, MemoryKind::kDevice);
    const AllocationRef two = memory.allocate(heap, kOwner, 100, MemoryKind::kDevice);
    CHECK(one->id != two->id);
    CHECK(memory.find(one->base) == one);
    CHECK(memory.find(one->base + 99) == one);
    CHECK(memory.find(one->base + 100) == nullptr);
    CHECK(memory.find(one->base - 1) == nullptr);
    CHECK(one->contains(one->base, 100));
    CHECK_FALSE(one->contains(one->base, 101));
    CHECK_FALSE(one->contains(one->base + 100, 1));
    CHECK_FALSE(one->contains(one->base - 1, 1));
    CHECK_FALSE(one->contains(one->base + 50, ~std::size_t{0}));
}

TEST_CASE("kernels may touch memory while it is there") {
    Memory memory(false);
    Heap heap(memory.space(), 4 * kPageSize);
    const AllocationRef device = memory.allocate(heap, kOwner, 100, MemoryKind::kDevice);
    const AllocationRef pinned = memory.allocate_pinned(kOwner, 100, 0);
    CHECK(memory.map().find(device->base, 100).begin == device->base);
    CHECK(memory.map().find(device->base, 101).begin == 0);
    CHECK(memory.map().find(pinned->base, 100).begin == pinned->base);
    const Address gone = pinned->base;
    CHECK(memory.remove(device->base, is_any) == device);
    CHECK(memory.remove(gone, is_any) == pinned);
    CHECK(memory.map().find(device->base, 1).begin == 0);
    CHECK(memory.map().find(gone, 1).begin == 0);
    CHECK(memory.remove(gone, is_any) == nullptr);
}

TEST_CASE("device memory that is exhausted is an error, and comes back") {
    Memory memory(false);
    Heap heap(memory.space(), 4 * kPageSize);
    const AllocationRef all = memory.allocate(heap, kOwner, 4 * kPageSize, MemoryKind::kDevice);
    CHECK(error_of([&] { memory.allocate(heap, kOwner, 1, MemoryKind::kDevice); }) ==
          CUDA_ERROR_OUT_OF_MEMORY);
    memory.remove(all->base, is_any);
    CHECK(error_of([&] { memory.allocate(heap, kOwner, 1, MemoryKind::kDevice); }) == CUDA_SUCCESS);
}

TEST_CASE("host memory is registered once, and only where it is mapped") {
    Memory memory(false);
    std::vector<char> buffer(10000);
    const auto base = reinterpret_cast<Address>(buffer.data());
    const AllocationRef registered = memory.register_host(kOwner, base, buffer.size(), 0);
    CHECK(registered->on_host());
    CHECK(error_of([&] { memory.register_host(kOwner, base, 10, 0); }) ==
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    CHECK(error_of([&] { memory.register_host(kOwner, base + 9000, 2000, 0); }) ==
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    memory.remove(base, is_any);

    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* two = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(two != MAP_FAILED);
    REQUIRE(munmap(static_cast<char*>(two) + page, page) == 0);
    CHECK(error_of([&] {
              memory.register_host(kOwner, reinterpret_cast<Address>(two), 2 * page, 0);
          }) == CUDA_ERROR_INVALID_VALUE);
    munmap(two, page);
}

TEST_CASE("what a context owns goes with it, variables excepted") {
    Memory memory(false);
    Heap heap(memory.space(), 4 * kPageSize);
    const auto context = reinterpret_cast<CUcontext>(std::uintptr_t{1});
    const AllocationRef own = memory.allocate(heap, {context, 0}, 10, MemoryKind::kDevice);
    const AllocationRef variable = memory.allocate(heap, {context, 0}, 10, MemoryKind::kVariable);
    const AllocationRef other = memory.allocate(heap, kOwner, 10, MemoryKind::kDevice);
    memory.remove_context(context);
    CHECK(memory.find(own->base) == nullptr);
    CHECK(memory.find(variable->base) == variable);
    CHECK(memory.find(other->base) == other);
}
