// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "libcuda/launch.h"

namespace cubar::guest::test {
namespace {

CUlaunchAttribute attribute(CUlaunchAttributeID id) {
    CUlaunchAttribute made{};
    made.id = id;
    return made;
}

struct Encoded {
    CUresult result = CUDA_SUCCESS;
    LaunchAttributes attributes;
};

Encoded encode(std::vector<CUlaunchAttribute> list, const EventTable& events = {}) {
    CUlaunchConfig config{};
    config.attrs = list.data();
    config.numAttrs = static_cast<unsigned>(list.size());
    Encoded encoded;
    encoded.result = encoded.attributes.encode(events, config);
    return encoded;
}

std::uint32_t id_at(const LaunchAttributes& attributes, std::size_t index) {
    std::uint32_t id = 0;
    std::memcpy(&id, attributes.bytes().data() + index * LaunchAttributes::kEntryBytes, sizeof id);
    return id;
}

}  // namespace

TEST_CASE("Launch attributes cross with their values, in their order", "[launch attributes]") {
    CUlaunchAttribute cluster = attribute(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
    cluster.value.clusterDim.x = 4;
    cluster.value.clusterDim.y = 2;
    cluster.value.clusterDim.z = 1;
    CUlaunchAttribute priority = attribute(CU_LAUNCH_ATTRIBUTE_PRIORITY);
    priority.value.priority = -3;
    const Encoded encoded = encode({cluster, priority});
    REQUIRE(encoded.result == CUDA_SUCCESS);
    REQUIRE(encoded.attributes.count() == 2);
    REQUIRE(encoded.attributes.bytes().size() == 2 * LaunchAttributes::kEntryBytes);
    CHECK(id_at(encoded.attributes, 0) == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
    CHECK(id_at(encoded.attributes, 1) == CU_LAUNCH_ATTRIBUTE_PRIORITY);
    CUlaunchAttributeValue value{};
    const std::byte* second = encoded.attributes.bytes().data() + LaunchAttributes::kEntryBytes;
    std::memcpy(&value, encoded.attributes.bytes().data() + 8, sizeof value);
    CHECK(value.clusterDim.x == 4);
    CHECK(value.clusterDim.y == 2);
    std::memcpy(&value, second + 8, sizeof value);
    CHECK(value.priority == -3);
}

TEST_CASE("What asks for nothing is left out", "[launch attributes]") {
    const Encoded encoded =
        encode({attribute(CU_LAUNCH_ATTRIBUTE_IGNORE), attribute(CU_LAUNCH_ATTRIBUTE_COOPERATIVE),
                attribute(CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN)});
    CHECK(encoded.result == CUDA_SUCCESS);
    CHECK(encoded.attributes.count() == 1);
    CHECK(encode({}).result == CUDA_SUCCESS);
}

TEST_CASE("A cooperative launch crosses as one, and the caller learns of it",
          "[launch attributes]") {
    CUlaunchAttribute cooperative = attribute(CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
    CHECK(!encode({cooperative}).attributes.cooperative());
    cooperative.value.cooperative = 1;
    const Encoded encoded = encode({cooperative});
    REQUIRE(encoded.result == CUDA_SUCCESS);
    REQUIRE(encoded.attributes.count() == 1);
    CHECK(id_at(encoded.attributes, 0) == CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
    CHECK(encoded.attributes.cooperative());
}

TEST_CASE("Clusters fit the grid, the kernel and the device", "[launch attributes]") {
    DeviceFacts device{};
    device.attribute[CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH] = 1;
    KernelFacts kernel;
    const auto check = [&](unsigned x, unsigned y, unsigned z) {
        CUlaunchAttribute cluster = attribute(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
        cluster.value.clusterDim.x = x;
        cluster.value.clusterDim.y = y;
        cluster.value.clusterDim.z = z;
        const Encoded encoded = encode({cluster});
        if (encoded.result != CUDA_SUCCESS) return encoded.result;
        return encoded.attributes.check_cluster(device, kernel, {64, 6, 1});
    };
    CHECK(check(0, 1, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(check(1, 1, 1) == CUDA_SUCCESS);
    CHECK(check(4, 2, 1) == CUDA_SUCCESS);
    CHECK(check(2, 4, 1) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
    CHECK(check(4, 1, 2) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
    CHECK(check(16, 1, 1) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
    CHECK(check(0x80000000, 0x80000000, 4) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
    kernel.attribute[CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED] = 1;
    CHECK(check(16, 1, 1) == CUDA_SUCCESS);
    CHECK(check(32, 1, 1) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
    kernel.attribute[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH] = 4;
    kernel.attribute[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT] = 1;
    kernel.attribute[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH] = 1;
    CHECK(check(4, 1, 1) == CUDA_SUCCESS);
    CHECK(check(2, 1, 1) == CUDA_ERROR_INVALID_CLUSTER_SIZE);
    device.attribute[CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH] = 0;
    CHECK(check(4, 1, 1) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(encode({}).attributes.check_cluster(device, kernel, {3, 1, 1}) == CUDA_SUCCESS);
}

TEST_CASE("A launch never runs without what it asked for", "[launch attributes]") {
    CHECK(encode({attribute(CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE)}).result ==
          CUDA_ERROR_NOT_SUPPORTED);
    CHECK(encode({attribute(static_cast<CUlaunchAttributeID>(31))}).result ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("Attributes that name an event name a live one", "[launch attributes]") {
    EventTable events;
    const EventHandle handle(3, 5);
    REQUIRE(events.mirror(handle, [](Event&) {}));
    CUlaunchAttribute event = attribute(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT);
    event.value.programmaticEvent.event = reinterpret_cast<CUevent>(handle.bits());
    CHECK(encode({event}, events).result == CUDA_SUCCESS);
    event.value.programmaticEvent.event = reinterpret_cast<CUevent>(EventHandle(2, 5).bits());
    CHECK(encode({event}, events).result == CUDA_ERROR_INVALID_HANDLE);
    CUlaunchAttribute complete = attribute(CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT);
    CHECK(encode({complete}, events).result == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("There is room for as many attributes as make sense", "[launch attributes]") {
    const std::vector<CUlaunchAttribute> most(LaunchAttributes::kMost,
                                              attribute(CU_LAUNCH_ATTRIBUTE_PRIORITY));
    CHECK(encode(most).attributes.count() == LaunchAttributes::kMost);
    std::vector<CUlaunchAttribute> more = most;
    more.push_back(attribute(CU_LAUNCH_ATTRIBUTE_PRIORITY));
    CHECK(encode(more).result == CUDA_ERROR_INVALID_VALUE);
    CUlaunchConfig config{};
    config.numAttrs = 1;
    CHECK(LaunchAttributes().encode({}, config) == CUDA_ERROR_INVALID_VALUE);
}

}  // namespace cubar::guest::test
