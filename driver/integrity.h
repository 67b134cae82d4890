// SPDX-License-Identifier: Apache-2.0
// The answer that cudart checks to learn whether its driver speaks the private interface.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace cubar::driver {

// What a device contributes: its UUID and CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, _BUS_ID, _DEVICE_ID.
struct DeviceIdentity {
    CUuuid uuid;
    std::int32_t pci_domain;
    std::int32_t pci_bus;
    std::int32_t pci_device;
};
static_assert(sizeof(DeviceIdentity) == 28);  // hashed as it lies in memory

// The facts of the moment that both sides hash.
struct IntegrityFacts {
    std::uint32_t driver_version;
    std::uint32_t requested_version;
    std::uint32_t process;             // getpid()
    std::uint32_t thread;              // low half of pthread_self()
    std::uint64_t runtime_table;       // address of export table 6bd5fb6c
    std::uint64_t integrity_table;     // address of export table d4082055
    std::uint64_t integrity_function;  // slot 1 of the latter
    std::uint64_t unix_seconds;
};
static_assert(sizeof(IntegrityFacts) == 48);  // hashed as it lies in memory

using Digest = std::array<std::byte, 16>;

// MD2 (RFC 1319), fed piecewise.
class Md2 {
public:
    void update(std::span<const std::byte> data) noexcept;
    Digest finish() noexcept;

private:
    void update(std::byte value) noexcept;
    void mix() noexcept;

    std::array<std::uint8_t, 48> state_{};  // digest, block, digest xor block
    std::array<std::uint8_t, 16> checksum_{};
    std::uint8_t last_ = 0;  // the checksum's chaining value
    std::size_t filled_ = 0;
};

// The digest for a version that ends in neither 0 nor 1; those two have constant answers.
// HMAC-MD2 (RFC 2104) of the facts and then of each device, under a fixed key.
Digest integrity_digest(const IntegrityFacts& facts,
                        std::span<const DeviceIdentity> devices) noexcept;

}  // namespace cubar::driver
