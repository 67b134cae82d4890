// SPDX-License-Identifier: Apache-2.0
// The ivshmem server against a client that does as the input says: reads in pieces, talks, hangs
// up. What it does read must be a prefix of the one right handshake. Sources:
// host/cubard/ivshmem.cpp host/cubard/packet.cpp.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "host/cubard/ivshmem.h"

using cubar::transport::Descriptor;
using namespace cubar::host;

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

std::vector<std::uint8_t> handshake(std::size_t doorbells) {
    std::vector<std::int64_t> numbers{0, kQemuPeer, -1};
    for (std::size_t i = 0; i < doorbells; ++i) {
        numbers.push_back(static_cast<std::int64_t>(kCubardPeer + i));
    }
    numbers.push_back(kQemuPeer);
    std::vector<std::uint8_t> bytes(numbers.size() * sizeof numbers[0]);
    std::memcpy(bytes.data(), numbers.data(), bytes.size());
    return bytes;
}

/// Reads at most `length` bytes and drops the descriptors that come with them.
std::size_t read_some(int socket, std::uint8_t* to, std::size_t length) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)];
    iovec data{to, length};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    for (cmsghdr* part = got >= 0 ? CMSG_FIRSTHDR(&message) : nullptr; part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, reinterpret_cast<char*>(part) + at, sizeof fd);
            ::close(fd);
        }
    }
    return got > 0 ? static_cast<std::size_t>(got) : 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    IvshmemConnection server{Descriptor(ends[0])};
    Descriptor client(ends[1]);
    const std::size_t doorbell_count = 1 + (size != 0 ? data[0] % 8 : 0);
    const Descriptor memory(::eventfd(0, EFD_CLOEXEC));
    std::vector<Descriptor> doorbells;
    for (std::size_t i = 0; i < doorbell_count; ++i) {
        doorbells.emplace_back(::eventfd(0, EFD_CLOEXEC));
    }
    // A small buffer, so that the handshake does not fit at once.
    const int small = 1;
    ::setsockopt(server.socket(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    server.queue_handshake(memory.get(), doorbells);
    const std::vector<std::uint8_t> right = handshake(doorbell_count);
    std::vector<std::uint8_t> got;
    bool talked = false;
    bool hung_up = false;
    for (std::size_t i = 1; i < size; ++i) {
        switch (data[i] % 4) {
            case 0: {
                const auto state = server.send();
                require(state != IvshmemConnection::State::kGone || hung_up);
                break;
            }
            case 1: {
                const bool gone = server.receive() == IvshmemConnection::State::kGone;
                require(gone == (talked || hung_up));
                if (gone) {
                    require(server.spoke() == talked);
                    return 0;
                }
                break;
            }
            case 2: {
                std::uint8_t bytes[256];
                const std::size_t length =
                    client ? read_some(client.get(), bytes, 1 + data[i] / 4) : 0;
                got.insert(got.end(), bytes, bytes + length);
                break;
            }
            default:
                if (data[i] < 64) {
                    hung_up = true;
                    client.reset();
                } else if (client && ::send(client.get(), data, i, MSG_NOSIGNAL) > 0) {
                    talked = true;
                }
                break;
        }
        require(got.size() <= right.size() && std::equal(got.begin(), got.end(), right.begin()));
    }
    return 0;
}
