// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/device.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace cubar::softgpu::device {
namespace {

constexpr int kKiB = 1024;

// In rising order of capability.
constexpr std::array<Architecture, 14> kArchitectures{{
    // major minor threads blocks shared/sm   optin      reserved unit
    {5, 0, 2048, 32, 64 * kKiB, 48 * kKiB, 0, 256},
    {6, 0, 2048, 32, 64 * kKiB, 48 * kKiB, 0, 256},
    {6, 1, 2048, 32, 96 * kKiB, 48 * kKiB, 0, 256},
    {7, 0, 2048, 32, 96 * kKiB, 96 * kKiB, 0, 256},
    {7, 5, 1024, 16, 64 * kKiB, 64 * kKiB, 0, 256},
    {8, 0, 2048, 32, 164 * kKiB, 163 * kKiB, kKiB, 128},
    {8, 6, 1536, 16, 100 * kKiB, 99 * kKiB, kKiB, 128},
    {8, 7, 1536, 16, 164 * kKiB, 163 * kKiB, kKiB, 128},
    {8, 9, 1536, 24, 100 * kKiB, 99 * kKiB, kKiB, 128},
    {9, 0, 2048, 32, 228 * kKiB, 227 * kKiB, kKiB, 128},
    {10, 0, 2048, 32, 228 * kKiB, 227 * kKiB, kKiB, 128},
    {10, 3, 2048, 32, 228 * kKiB, 227 * kKiB, kKiB, 128},
    {11, 0, 1536, 24, 228 * kKiB, 227 * kKiB, kKiB, 128},
    {12, 0, 1536, 24, 100 * kKiB, 99 * kKiB, kKiB, 128},
}};

}  // namespace

Architecture Architecture::of(int major, int minor) {
    Architecture chosen = kArchitectures.front();
    for (const Architecture& row : kArchitectures)
        if (row.major * 10 + row.minor <= major * 10 + minor) chosen = row;
    chosen.major = major;
    chosen.minor = minor;
    return chosen;
}

Device::Device(AddressSpace& space, const Settings& settings, int ordinal, int index)
    : ordinal_(ordinal),
      architecture_(Architecture::of(settings.major, settings.minor)),
      identity_(identity_of(index)),
      heap_(space, settings.memory) {}

driver::DeviceIdentity Device::identity_of(int index) {
    driver::DeviceIdentity identity{};
    // A version 8 (custom) UUID: the product's name and the device's index.
    constexpr char kText[] = "cubarg\x80sof\x80tgpu";
    std::memcpy(identity.uuid.bytes, kText, 15);
    identity.uuid.bytes[8] = static_cast<char>(0x80 | (identity.uuid.bytes[8] & 0x3f));
    identity.uuid.bytes[15] = static_cast<char>(index);
    identity.pci_bus = index + 1;
    return identity;
}

std::string Device::pci_bus_id() const {
    std::array<char, 32> text{};
    std::snprintf(
        text.data(), text.size(), "%04x:%02x:%02x.0", static_cast<unsigned>(identity_.pci_domain),
        static_cast<unsigned>(identity_.pci_bus), static_cast<unsigned>(identity_.pci_device));
    return text.data();
}

}  // namespace cubar::softgpu::device
