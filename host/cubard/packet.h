// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "transport/descriptor.h"

namespace cubar::host {

/// Sends without blocking and without SIGPIPE, with at most 253 descriptors attached. As
/// sendmsg(2): what was sent, or -1 and errno.
ssize_t send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors);

struct Packet {
    std::vector<std::byte> bytes;
    std::vector<transport::Descriptor> descriptors;
};

enum class Receipt { kPacket, kNothingYet, kEnd };

/// Receives one packet without blocking. One that is longer than `limit`, or brings more than
/// `descriptor_limit` descriptors, counts as the end: no honest peer sends it. So does a packet
/// without bytes, which cannot be told from the end.
Receipt receive_packet(int socket, std::size_t limit, std::size_t descriptor_limit, Packet& packet);

}  // namespace cubar::host
