// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <catch2/catch.hpp>

#include "guest/device_grant.h"
#include "made_up.h"

using namespace cubar;
using namespace cubar::tools;

namespace {

constexpr const char* kPlace = "/sys/bus/pci/devices/0000:00:04.0";

std::string at(const char* name) {
    return path_in(kPlace, name);
}

}  // namespace

TEST_CASE("A device with cubar's magic is enabled and given to the group", "[device]") {
    MadeUp system;
    Header header{};
    describe_memory(header);
    const std::string device = system.device(header);
    REQUIRE(ivshmem_devices(system.root()) == std::vector<std::string>{device});

    CHECK(grant_device(device, getegid()).grant == Grant::kDone);
    CHECK(system.text(at("enable")).starts_with("1"));
    for (const char* name : {"resource0", "resource2", "resource2_wc"}) {
        CHECK(system.mode(at(name)) == 0660);
    }
    // Memory decoding, which firmware leaves off in a plugged device.
    CHECK(system.text(at("config"))[4] == 2);

    system.file(at("enable"), "kept");
    CHECK(grant_device(device, getegid()).grant == Grant::kAlready);
    CHECK(system.text(at("enable")) == "kept");

    CHECK(restore_device(device, getegid()).grant == Grant::kDone);
    CHECK(system.text(at("enable")).starts_with("0"));
    for (const char* name : {"resource0", "resource2", "resource2_wc"}) {
        CHECK(system.mode(at(name)) == 0600);
    }
    CHECK(restore_device(device, getegid()).grant == Grant::kAlready);
}

TEST_CASE("Another use of shared memory is left as it was", "[device]") {
    MadeUp system;
    Header header{};
    describe_memory(header);
    header.magic ^= 1;
    const std::string device = system.device(header);
    CHECK(grant_device(device, getegid()).grant == Grant::kNotOurs);
    CHECK(restore_device(device, getegid()).grant == Grant::kAlready);
    CHECK(system.text(at("enable")) == "0\n");
    CHECK(system.text(at("config")) == std::string(64, '\0'));
    for (const char* name : {"resource0", "resource2", "resource2_wc"}) {
        CHECK(system.mode(at(name)) == 0600);
    }
}

TEST_CASE("A memory smaller than a page is not cubar's", "[device]") {
    MadeUp system;
    Header header{};
    const std::string device = system.device(header);
    system.file(at("resource2"), "CUBARBAR");
    CHECK(grant_device(device, getegid()).grant == Grant::kNotOurs);
}

TEST_CASE("A device without write-combining is given too, one without memory is not", "[device]") {
    MadeUp system;
    Header header{};
    describe_memory(header);
    const std::string device = system.device(header);
    system.remove(at("resource2_wc"));
    CHECK(grant_device(device, getegid()).grant == Grant::kDone);
    system.remove(at("resource2"));
    CHECK_FALSE(has_memory_file(device));
    CHECK(grant_device(device, getegid()).grant == Grant::kFailed);
}

TEST_CASE("Devices of other ids are not looked at", "[device]") {
    MadeUp system;
    Header header{};
    describe_memory(header);
    system.device(header);
    system.file(at("device"), "0x1000\n");
    CHECK(ivshmem_devices(system.root()).empty());
}
