// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "transport/descriptor.h"

namespace cubar::host {

/// Doorbell peers of a VM. QEMU's device is one, and each listener on the host another, so that one
/// write to the doorbell register wakes exactly the process that it is meant for.
inline constexpr std::uint16_t kQemuPeer = 0;
inline constexpr std::uint16_t kCubardPeer = 1;
inline constexpr std::uint16_t kFirstChannelPeer = 2;

/// What an ivshmem server says to its client: 8-byte little-endian numbers, some with a descriptor
/// (QEMU, docs/specs/ivshmem-spec, "Client-Server protocol"). QEMU says nothing, ever.
///
/// The handshake is queued whole and sent as far as the socket takes it.
class IvshmemConnection {
public:
    enum class State { kSending, kServed, kGone };

    /// Takes over a connected, non-blocking stream socket.
    explicit IvshmemConnection(transport::Descriptor socket);
    IvshmemConnection(IvshmemConnection&&) = default;
    IvshmemConnection& operator=(IvshmemConnection&&) = default;

    /// Queues the handshake. `doorbells`: cubard's, then each channel's. Descriptors are
    /// duplicated. QEMU's own interrupt is an eventfd that nobody writes to: this protocol sends
    /// the guest no interrupts, but a client without any is one that QEMU's `vectors=1` would wait
    /// for.
    void queue_handshake(int memory, const std::vector<transport::Descriptor>& doorbells);

    /// Sends what the socket takes. kServed once all is sent.
    State send();
    /// Reads what the client says. kGone at its end and when it says anything at all: then it is no
    /// QEMU.
    State receive();

    int socket() const { return socket_.get(); }
    bool spoke() const { return spoke_; }

private:
    struct Message {
        std::int64_t number;
        transport::Descriptor descriptor;
        std::size_t sent = 0;
    };
    void queue(std::int64_t number, int descriptor);

    transport::Descriptor socket_;
    transport::Descriptor interrupt_;
    std::deque<Message> queue_;
    bool spoke_ = false;
};

}  // namespace cubar::host
