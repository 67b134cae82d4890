// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <optional>
#include <string>

#include "driver/integrity.h"
#include "softgpu/device/heap.h"
#include "softgpu/device/physical_memory.h"
#include "softgpu/device/settings.h"

namespace cubar::softgpu::device {

/// What a compute capability fixes, from the CUDA programming guide's table of technical
/// specifications. Bytes unless said otherwise.
struct Architecture {
    int major = 0;
    int minor = 0;
    int threads_per_multiprocessor = 0;
    int blocks_per_multiprocessor = 0;
    int shared_per_multiprocessor = 0;
    int shared_per_block_optin = 0;
    int shared_reserved_per_block = 0;
    int shared_unit = 0;  ///< granularity of a block's shared memory

    static constexpr int kThreadsPerBlock = 1024;
    static constexpr int kWarpSize = 32;
    static constexpr int kSharedPerBlock = 48 << 10;
    static constexpr int kRegistersPerMultiprocessor = 64 << 10;
    static constexpr int kRegistersPerBlock = 64 << 10;
    static constexpr int kRegisterUnit = 256;  ///< registers, granularity per warp
    static constexpr int kConstantMemory = 64 << 10;
    static constexpr int kMaxBlock[3] = {1024, 1024, 64};
    static constexpr unsigned kMaxGrid[3] = {0x7fffffff, 65535, 65535};
    static constexpr std::size_t kMaxPitch = 0x7fffffff;
    static constexpr std::size_t kMaxParameters = 4096;
    static constexpr std::size_t kMaxLargeParameters = 32764;  ///< from PTX ISA 8.1 and sm_70 on

    /// Blocks of a cluster: on every device that has clusters, and if a kernel forgoes that.
    static constexpr int kPortableCluster = 8;
    static constexpr int kLargestCluster = 16;
    [[nodiscard]] bool has_clusters() const { return major >= 9; }

    /// The table's row for it, or that of the nearest older one.
    static Architecture of(int major, int minor);
};

/// One device of the process. Constant after construction but for its memory.
class Device {
public:
    /// The multiprocessors that it claims: a constant of the model, so that grids, and with them
    /// results, do not depend on the machine.
    static constexpr int kMultiprocessors = 16;
    static constexpr const char* kName = "cubar softgpu";

    /// @param ordinal among the visible devices.
    /// @param index among all devices; UUID and PCI address follow from it.
    Device(AddressSpace& space, const Settings& settings, int ordinal, int index);

    [[nodiscard]] int ordinal() const { return ordinal_; }
    [[nodiscard]] const Architecture& architecture() const { return architecture_; }
    [[nodiscard]] const driver::DeviceIdentity& identity() const { return identity_; }
    [[nodiscard]] std::string pci_bus_id() const;  ///< "0000:01:00.0"
    [[nodiscard]] Heap& heap() { return heap_; }
    [[nodiscard]] const Heap& heap() const { return heap_; }
    [[nodiscard]] PhysicalStore& physical() { return physical_; }

    /// None for an attribute that cuda.h does not name.
    [[nodiscard]] std::optional<int> attribute(CUdevice_attribute attribute) const;

    static driver::DeviceIdentity identity_of(int index);

private:
    const int ordinal_;
    const Architecture architecture_;
    const driver::DeviceIdentity identity_;
    Heap heap_;
    PhysicalStore physical_{heap_};
};

}  // namespace cubar::softgpu::device
