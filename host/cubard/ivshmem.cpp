// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/ivshmem.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "host/cubard/packet.h"

namespace cubar::host {
namespace {

constexpr std::int64_t kProtocolVersionOfQemu = 0;
constexpr std::int64_t kMemoryFollows = -1;

transport::Descriptor duplicate(int descriptor) {
    transport::Descriptor copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
    if (!copy) {
        throw std::system_error(errno, std::generic_category(), "F_DUPFD_CLOEXEC");
    }
    return copy;
}

}  // namespace

IvshmemConnection::IvshmemConnection(transport::Descriptor socket) : socket_(std::move(socket)) {}

void IvshmemConnection::queue(std::int64_t number, int descriptor) {
    queue_.push_back({number, descriptor >= 0 ? duplicate(descriptor) : transport::Descriptor()});
}

void IvshmemConnection::queue_handshake(int memory,
                                        const std::vector<transport::Descriptor>& doorbells) {
    interrupt_ = transport::Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!interrupt_) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    queue(kProtocolVersionOfQemu, -1);
    queue(kQemuPeer, -1);
    queue(kMemoryFollows, memory);
    for (std::size_t i = 0; i < doorbells.size(); ++i) {
        queue(static_cast<std::int64_t>(kCubardPeer + i), doorbells[i].get());
    }
    queue(kQemuPeer, interrupt_.get());
}

IvshmemConnection::State IvshmemConnection::send() {
    while (!queue_.empty()) {
        Message& message = queue_.front();
        // The wire is little-endian, as every machine that this runs on.
        const auto bytes = std::as_bytes(std::span(&message.number, 1)).subspan(message.sent);
        const int descriptor = message.descriptor.get();
        const bool attach = descriptor >= 0 && message.sent == 0;
        const ssize_t sent = send_packet(
            socket_.get(), bytes, attach ? std::span(&descriptor, 1) : std::span<const int>());
        if (sent < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? State::kSending : State::kGone;
        }
        message.sent += static_cast<std::size_t>(sent);
        if (message.sent == sizeof message.number) {
            queue_.pop_front();
        }
    }
    return State::kServed;
}

IvshmemConnection::State IvshmemConnection::receive() {
    std::byte bytes[64];
    const ssize_t length = ::recv(socket_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return queue_.empty() ? State::kServed : State::kSending;
    }
    spoke_ = length > 0;
    return State::kGone;
}

}  // namespace cubar::host
