// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "host/cubard/packet.h"
#include "host/cubard/probe.h"

namespace cubar::host {
namespace {

/// A worker is the guest's: it shall not fill the host's log.
constexpr std::size_t kMaxLoggedBytes = std::size_t{64} * 1024;
constexpr std::size_t kMaxLineBytes = 512;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

WorkerProcess::WorkerProcess(WorkerSetting& setting, std::string name,
                             const std::vector<std::string>& devices, int priority,
                             Listener listener)
    : setting_(setting),
      name_(std::move(name)),
      listener_(std::move(listener)),
      cache_user_(setting.cache != nullptr ? setting.cache->use() : std::nullopt),
      grace_(setting.loop, [this] { kill(); }) {
    int sockets[2];
    int pipe[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        fail("socketpair");
    }
    control_ = transport::Descriptor(sockets[0]);
    const transport::Descriptor theirs(sockets[1]);
    if (::pipe2(pipe, O_CLOEXEC) != 0) {
        fail("pipe2");
    }
    output_ = transport::Descriptor(pipe[0]);
    const transport::Descriptor their_output(pipe[1]);
    ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
    SpawnRequest request{.devices = devices,
                         .priority = priority,
                         .uid_slot = setting_.uid_slot,
                         .context_bytes = setting_.context_bytes,
                         .descriptor = theirs.get(),
                         .output = their_output.get()};
    if (cache_user_) {
        request.cache = setting_.cache->path();
        request.cache_bytes = setting_.cache->driver_limit();
    }
    child_ = spawn_worker(setting_.program, setting_.isolation, request);
    control_watch_ =
        setting_.loop.watch(control_.get(), EPOLLIN, [this](std::uint32_t) { on_control(); });
    output_watch_ =
        setting_.loop.watch(output_.get(), EPOLLIN, [this](std::uint32_t) { on_output(); });
    watch_end();
}

WorkerProcess::WorkerProcess(WorkerSetting& setting, std::string name, transport::Descriptor pidfd,
                             Listener listener)
    : setting_(setting),
      name_(std::move(name)),
      listener_(std::move(listener)),
      child_{-1, std::move(pidfd)},
      grace_(setting.loop, [this] { kill(); }) {
    watch_end();
}

WorkerProcess::~WorkerProcess() {
    kill();
}

void WorkerProcess::watch_end() {
    end_watch_ = setting_.loop.watch(child_.pidfd.get(), EPOLLIN, [this](std::uint32_t) {
        end_watch_.reset();
        // What it said last comes before its end.
        if (control_) {
            while (on_control()) {
            }
            on_output();
            log_output(true);
        }
        control_watch_.reset();
        output_watch_.reset();
        grace_.disarm();
        const auto on_end = std::move(listener_.on_end);
        on_end(reap(child_));
    });
}

bool WorkerProcess::on_control() {
    Packet packet;
    switch (receive_packet(control_.get(), sizeof(WorkerMessage) + 1, 0, packet)) {
        case Receipt::kNothingYet:
            return false;
        case Receipt::kEnd:
            control_watch_.reset();
            kill();
            return false;
        case Receipt::kPacket:
            break;
    }
    const auto message = decode_worker_message(packet.bytes);
    if (!message) {
        spdlog::warn("{}: the worker says what no worker says; it is killed", name_);
        control_watch_.reset();
        kill();
        return false;
    }
    listener_.on_message(*message);
    return true;
}

void WorkerProcess::on_output() {
    char buffer[4096];
    const ssize_t length = ::read(output_.get(), buffer, sizeof buffer);
    if (length == 0) {
        output_watch_.reset();
    }
    if (length > 0) {
        said_.append(buffer, static_cast<std::size_t>(length));
        log_output(false);
    }
}

void WorkerProcess::log_output(bool all) {
    while (!said_.empty()) {
        std::size_t end = said_.find('\n');
        if (end == std::string::npos && !all && said_.size() < kMaxLineBytes) {
            return;
        }
        end = std::min({end, kMaxLineBytes, said_.size()});
        if (logged_ < kMaxLoggedBytes && end != 0) {
            spdlog::info("{}: worker: {}", name_, printable(said_.substr(0, end)));
            logged_ += end;
            if (logged_ >= kMaxLoggedBytes) {
                spdlog::warn("{}: the worker has said enough; the rest is not logged", name_);
            }
        }
        said_.erase(0, end + (end < said_.size() && said_[end] == '\n' ? 1 : 0));
    }
}

void WorkerProcess::send(const HostMessage& message, std::span<const int> descriptors) {
    if (control_ &&
        send_packet(control_.get(), std::as_bytes(std::span(&message, 1)), descriptors) < 0) {
        // A worker that does not read its answers, or is gone.
        kill();
    }
}

void WorkerProcess::assign(const Assignment& assignment, int memory, int doorbell) {
    HostMessage message{.kind = HostSays::kAssign};
    message.assignment = assignment;
    const int descriptors[] = {memory, doorbell};
    send(message, descriptors);
}

void WorkerProcess::answer(const HostMessage& message) {
    send(message, {});
}

void WorkerProcess::release() {
    if (!control_) {
        kill();
        return;
    }
    send({.kind = HostSays::kReleaseNow}, {});
    grace_.arm(kGrace);
}

void WorkerProcess::kill() {
    ::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace cubar::host
