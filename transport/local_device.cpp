// SPDX-License-Identifier: Apache-2.0
// The device on the host itself: cubard's memory file and eventfds, handed out over a socket.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "transport/device.h"
#include "transport/local_protocol.h"

namespace cubar::transport {

namespace {

class LocalDevice final : public Device {
public:
    Failure adopt(const char* name, std::span<Descriptor> passed) {
        set_name("local", name);
        set_wait_policy(WaitPolicy::kLocal);
        if (passed.size() < 3 || passed.size() > kLocalMaxDescriptors) {
            return Failure::make(Error::kSocketFailed, 0,
                                 "%s: the greeting carries %zu descriptors", name, passed.size());
        }
        memory_ = std::move(passed[0]);
        cubard_ = std::move(passed[1]);
        for (std::size_t i = 2; i < passed.size(); ++i) {
            workers_[i - 2] = std::move(passed[i]);
        }
        struct stat status {};
        if (fstat(memory_.get(), &status) != 0) {
            return Failure::make(Error::kSocketFailed, errno, "%s: no memory file", name);
        }
        if (Failure failure = open_memory(static_cast<std::uint64_t>(status.st_size))) {
            return failure;
        }
        if (header().channel_count != passed.size() - 2) {
            return Failure::make(Error::kSocketFailed, 0, "%s: %u channels, but %zu doorbells",
                                 name, header().channel_count, passed.size() - 2);
        }
        return {};
    }

    void ring_doorbell(std::uint32_t peer) const override {
        const std::uint32_t worker = peer - header().first_channel_peer;
        const int number = peer == header().cubard_peer ? cubard_.get()
                           : worker < workers_.size()   ? workers_[worker].get()
                                                        : -1;
        const int saved = errno;
        const std::uint64_t one = 1;
        // Fails only if the counter is full (it rings already) or there is no such peer.
        static_cast<void>(!write(number, &one, sizeof one));
        errno = saved;
    }

    Result<Descriptor> open_lock_file() const override {
        char path[48];
        std::snprintf(path, sizeof path, "/proc/self/fd/%d", memory_.get());
        Descriptor file(::open(path, O_RDWR | O_CLOEXEC));
        if (!file) {
            return Failure::make(Error::kLockFailed, errno, "%s: opening %s: %s", name(), path,
                                 strerrordesc_np(errno));
        }
        return file;
    }

    void use_channel(unsigned channel) override {
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            if (i != channel) {
                workers_[i].reset();
            }
        }
    }

protected:
    int memory_file(Caching) const override { return memory_.get(); }

private:
    Descriptor memory_;
    Descriptor cubard_;
    std::array<Descriptor, kMaxChannels> workers_;
};

Failure socket_failure(const char* path, const char* what) {
    const int error = errno;
    const Error kind = error == ENOENT || error == ECONNREFUSED ? Error::kHostAbsent
                       : error == EACCES || error == EPERM      ? Error::kNotPermitted
                                                                : Error::kSocketFailed;
    return Failure::make(kind, error, "%s: %s: %s%s", path, what, strerrordesc_np(error),
                         kind == Error::kHostAbsent ? ": is cubard running?" : "");
}

/// Receives the greeting; on success `passed` owns what came with it.
Result<std::size_t> receive_hello(int socket, const char* path,
                                  std::array<Descriptor, kLocalMaxDescriptors>& passed) {
    LocalHello hello{};
    iovec part{&hello, sizeof hello};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kLocalMaxDescriptors)];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t received = 0;
    do {
        received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0) {
        return socket_failure(path, "waiting for the greeting");
    }
    std::size_t count = 0;
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
         head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < here; ++i) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(head) + i * sizeof(int), sizeof number);
            Descriptor descriptor(number);
            if (count < passed.size()) {
                passed[count++] = std::move(descriptor);
            }
        }
    }
    if (received != sizeof hello || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        hello.magic != kLocalMagic || hello.version != kLocalVersion ||
        hello.descriptor_count != count) {
        return Failure::make(Error::kSocketFailed, 0, "%s: what greets there is not cubard", path);
    }
    return count;
}

}  // namespace

Result<std::unique_ptr<Device>> adopt_local_device(const char* name, std::span<Descriptor> passed) {
    std::unique_ptr<LocalDevice> device(new (std::nothrow) LocalDevice);
    if (device == nullptr) {
        return Failure::make(Error::kNoMemory, ENOMEM, "allocating");
    }
    if (Failure failure = device->adopt(name, passed)) {
        return failure;
    }
    return std::unique_ptr<Device>(std::move(device));
}

Result<std::unique_ptr<Device>> open_local_device(const char* socket_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(socket_path);
    if (length == 0 || length >= sizeof address.sun_path) {
        return Failure::make(Error::kBadSelection, 0, "\"%s\" cannot be a socket's path",
                             socket_path);
    }
    std::memcpy(address.sun_path, socket_path, length);
    const Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) {
        return socket_failure(socket_path, "socket");
    }
    const timeval limit{kLocalHelloMs / 1000, suseconds_t{kLocalHelloMs % 1000} * 1000};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // bounds connect()
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return socket_failure(socket_path, "connecting to cubard");
    }
    std::array<Descriptor, kLocalMaxDescriptors> passed;
    Result<std::size_t> count = receive_hello(socket.get(), socket_path, passed);
    if (!count) {
        return count.failure();
    }
    return adopt_local_device(socket_path, std::span(passed).first(*count));
}

}  // namespace cubar::transport
