// SPDX-License-Identifier: Apache-2.0
#include "host/common/control_client.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace cubar::host {
namespace {

/// Receives one message, with up to two descriptors. False at the end of the socket.
bool receive(int socket, HostMessage& message, transport::Descriptor (&descriptors)[2]) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 2)];
    iovec data{&message, sizeof message};
    msghdr packet{};
    packet.msg_iov = &data;
    packet.msg_iovlen = 1;
    packet.msg_control = control;
    packet.msg_controllen = sizeof control;
    ssize_t length = 0;
    do {
        length = ::recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length != static_cast<ssize_t>(sizeof message)) {
        return false;
    }
    for (cmsghdr* part = CMSG_FIRSTHDR(&packet); part != nullptr;
         part = CMSG_NXTHDR(&packet, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count && i < 2; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            descriptors[i] = transport::Descriptor(fd);
        }
    }
    return true;
}

}  // namespace

ControlClient::ControlClient(transport::Descriptor socket) : socket_(std::move(socket)) {}

ControlClient::~ControlClient() {
    if (listener_.joinable()) {
        ::shutdown(socket_.get(), SHUT_RDWR);
        listener_.join();
    }
}

std::optional<AssignedSession> ControlClient::wait_for_assignment() {
    HostMessage message{};
    transport::Descriptor descriptors[2];
    if (!receive(socket_.get(), message, descriptors) || message.kind != HostSays::kAssign ||
        !descriptors[0] || !descriptors[1]) {
        return std::nullopt;
    }
    return AssignedSession{message.assignment, std::move(descriptors[0]),
                           std::move(descriptors[1])};
}

void ControlClient::start(std::function<void()> on_end) {
    on_end_ = std::move(on_end);
    listener_ = std::thread([this] { listen(); });
    // The kernel's signal would come right after the end of the socket, before on_end is done.
    ::prctl(PR_SET_PDEATHSIG, 0);
}

void ControlClient::listen() {
    for (;;) {
        HostMessage message{};
        transport::Descriptor descriptors[2];
        if (!receive(socket_.get(), message, descriptors) ||
            message.kind == HostSays::kReleaseNow) {
            break;
        }
        const std::lock_guard lock(mutex_);
        const auto waiter = waiting_.find(message.number);
        if (message.kind == HostSays::kAnswer && waiter != waiting_.end()) {
            waiter->second = message;
            answered_.notify_all();
        }
    }
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        answered_.notify_all();
    }
    on_end_();
}

void ControlClient::send(const WorkerMessage& message) {
    while (::send(socket_.get(), &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

std::optional<HostMessage> ControlClient::ask(WorkerMessage message) {
    std::unique_lock lock(mutex_);
    if (ended_) {
        return std::nullopt;
    }
    message.number = next_number_++;
    waiting_.emplace(message.number, std::nullopt);
    lock.unlock();
    // Outside the lock: a full socket must not keep the listener from the answers that empty it.
    send(message);
    lock.lock();
    const auto waiter = waiting_.find(message.number);
    answered_.wait(lock, [&] { return waiter->second.has_value() || ended_; });
    std::optional<HostMessage> answer = waiter->second;
    waiting_.erase(waiter);
    return answer;
}

void ControlClient::say_ready() {
    send({.kind = WorkerSays::kReady});
}

void ControlClient::say_refused(SessionError reason) {
    send({.kind = WorkerSays::kRefused, .value = static_cast<std::uint32_t>(reason)});
}

void ControlClient::say_did(std::uint64_t launches, std::uint64_t copies, std::uint64_t bytes) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    send({.kind = WorkerSays::kDid,
          .value = static_cast<std::uint32_t>(std::min(copies, kMost)),
          .first = launches,
          .bytes = bytes});
}

Verdict ControlClient::charge(std::uint32_t device, std::uint64_t bytes) {
    const auto answer = ask({.kind = WorkerSays::kCharge, .device = device, .bytes = bytes});
    return answer ? answer->verdict : Verdict::kQuota;
}

Verdict ControlClient::credit(std::uint32_t device, std::uint64_t bytes) {
    const auto answer = ask({.kind = WorkerSays::kCredit, .device = device, .bytes = bytes});
    return answer ? answer->verdict : Verdict::kNotYours;
}

std::optional<Usage> ControlClient::usage(std::uint32_t device) {
    const auto answer = ask({.kind = WorkerSays::kUsage, .device = device});
    if (!answer || answer->verdict != Verdict::kGranted) {
        return std::nullopt;
    }
    return answer->usage;
}

std::optional<std::uint64_t> ControlClient::lease_granules(std::uint64_t count) {
    const auto answer = ask({.kind = WorkerSays::kLease, .bytes = count});
    if (!answer || answer->verdict != Verdict::kGranted) {
        return std::nullopt;
    }
    return answer->first_granule;
}

Verdict ControlClient::return_granules(std::uint64_t first, std::uint64_t count) {
    const auto answer = ask({.kind = WorkerSays::kReturn, .first = first, .bytes = count});
    return answer ? answer->verdict : Verdict::kNotYours;
}

}  // namespace cubar::host
