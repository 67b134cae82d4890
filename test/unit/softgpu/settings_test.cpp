// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/settings.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

#include "softgpu/device/device.h"

using namespace cubar::softgpu::device;

TEST_CASE("sizes are numbers with a unit") {
    CHECK(parse_size("65536") == 65536u);
    CHECK(parse_size("3K") == 3072u);
    CHECK(parse_size("512M") == std::size_t{512} << 20);
    CHECK(parse_size("4G") == std::size_t{4} << 30);
    for (const char* bad :
         {"", "0", "G", "-1", "1.5G", "4GB", "99999999999999999999", "18446744073709551615G"})
        CHECK(parse_size(bad) == std::nullopt);
}

TEST_CASE("a compute capability is major.minor") {
    const auto found = parse_compute_capability("8.6");
    REQUIRE(found);
    CHECK(found->major == 8);
    CHECK(found->minor == 6);
    for (const char* bad : {"", "8", "8.", ".6", "86", "4.0", "13.0", "8.10", "8.6a"})
        CHECK_FALSE(parse_compute_capability(bad));
}

TEST_CASE("what cannot be read leaves the default") {
    setenv("CUBAR_SOFTGPU_MEMORY", "plenty", 1);
    setenv("CUBAR_SOFTGPU_STRICT", "1", 1);
    setenv("CUBAR_SOFTGPU_CC", "9.0", 1);
    const Settings settings = Settings::from_environment();
    CHECK(settings.memory == std::size_t{4} << 30);
    CHECK(settings.strict);
    CHECK(settings.major == 9);
    CHECK(settings.minor == 0);
    CHECK_FALSE(settings.null_kernels);
    unsetenv("CUBAR_SOFTGPU_MEMORY");
    unsetenv("CUBAR_SOFTGPU_STRICT");
    unsetenv("CUBAR_SOFTGPU_CC");
}

TEST_CASE("every attribute that cuda.h names has an answer, and no other") {
    AddressSpace space(false);
    const Device device(space, Settings{}, 0, 0);
    for (int attribute = 1; attribute < CU_DEVICE_ATTRIBUTE_MAX; ++attribute)
        CHECK(device.attribute(static_cast<CUdevice_attribute>(attribute)).has_value());
    CHECK_FALSE(device.attribute(static_cast<CUdevice_attribute>(0)));
    CHECK_FALSE(device.attribute(CU_DEVICE_ATTRIBUTE_MAX));
    CHECK(device.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) == 7);
    CHECK(device.attribute(CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS) == 0);
}

TEST_CASE("devices are told apart by UUID and PCI address") {
    const auto one = Device::identity_of(0);
    const auto two = Device::identity_of(1);
    CHECK(std::memcmp(one.uuid.bytes, two.uuid.bytes, sizeof one.uuid.bytes) != 0);
    CHECK(one.pci_bus != two.pci_bus);
}
