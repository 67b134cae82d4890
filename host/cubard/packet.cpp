// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/packet.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace cubar::host {
namespace {

constexpr std::size_t kMaxDescriptors = 253;  // SCM_MAX_FD

}  // namespace

ssize_t send_packet(int socket, std::span<const std::byte> bytes,
                    std::span<const int> descriptors) {
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
    iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr packet{};
    packet.msg_iov = &data;
    packet.msg_iovlen = 1;
    if (!descriptors.empty()) {
        packet.msg_control = control;
        packet.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        std::memset(control, 0, packet.msg_controllen);
        cmsghdr* part = CMSG_FIRSTHDR(&packet);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket, &packet, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

Receipt receive_packet(int socket, std::size_t limit, std::size_t descriptor_limit,
                       Packet& packet) {
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
    packet.bytes.resize(limit);
    packet.descriptors.clear();
    iovec data{packet.bytes.data(), limit};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptor_limit * sizeof(int));
    ssize_t length = 0;
    do {
        length = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? Receipt::kNothingYet : Receipt::kEnd;
    }
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof descriptor);
            packet.descriptors.emplace_back(descriptor);
        }
    }
    if (length == 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        packet.descriptors.size() > descriptor_limit) {
        return Receipt::kEnd;
    }
    packet.bytes.resize(static_cast<std::size_t>(length));
    return Receipt::kPacket;
}

}  // namespace cubar::host
