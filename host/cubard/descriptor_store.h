// SPDX-License-Identifier: Apache-2.0
#pragma once

// A guest's memory and doorbells must outlive cubard, or a running VM could never be served again:
// QEMU does not connect twice. They are kept by systemd's descriptor store, or by cubar-keeper.

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "host/cubard/config.h"
#include "transport/descriptor.h"

namespace cubar::host {

using Kept = std::map<std::string, transport::Descriptor, std::less<>>;

/// Sockets that systemd listens on for cubard (cubard.socket, cubar-vm@.socket), by the names that
/// the units give them. They come by the way by which systemd's store gives back what it kept.
Kept inherited_sockets();
inline constexpr const char* kControlSocketName = "control";
/// After the VM's name and a slash.
inline constexpr const char* kVmSocketName = "socket";

class DescriptorStore {
public:
    virtual ~DescriptorStore() = default;
    /// Keeps a duplicate of `descriptor`. A name is "VM/what"; at most 100 characters.
    virtual void keep(const std::string& name, int descriptor) = 0;
    virtual void drop(const std::string& name) = 0;
    /// What an earlier cubard left. They stay in the store until they are dropped.
    virtual Kept take_back() = 0;
    virtual const char* description() const = 0;
};

/// Throws std::runtime_error where the chosen one is not to be had.
std::unique_ptr<DescriptorStore> open_descriptor_store(StoreChoice choice,
                                                       const std::string& runtime_directory,
                                                       const std::string& keeper_program);

}  // namespace cubar::host
