// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/telemetry_source.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/cubard/packet.h"
#include "host/cubard/probe.h"

namespace cubar::host {
namespace {

/// A process that ended is not started again sooner: there may be no NVML at all.
constexpr std::chrono::seconds kPause{10};

bool terminated(const TelemetryDevice& device) {
    const auto ends = [](std::span<const char> text) {
        return std::ranges::find(text, '\0') != text.end();
    };
    return ends(device.serial) && ends(device.vbios) && ends(device.part_number);
}

}  // namespace

TelemetrySource::Listener::Listener(TelemetrySource& source, std::function<void()> callback)
    : source_(source),
      place_(source.listeners_.insert(source.listeners_.end(), std::move(callback))) {}

TelemetrySource::Listener::~Listener() {
    source_.listeners_.erase(place_);
}

TelemetrySource::TelemetrySource(WorkerSetting& setting)
    : setting_(setting), limit_(setting.loop, [this] {
          late_ = true;
          answer_.reset();
          answered_ = Clock::now();
          tell();
      }) {}

TelemetrySource::~TelemetrySource() {
    if (child_.pidfd) {
        ::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
    }
}

void TelemetrySource::add(const Uuid& uuid) {
    if (uuids_.size() < kMaxDevices && std::ranges::find(uuids_, uuid) == uuids_.end()) {
        uuids_.push_back(uuid);
        have_process();
    }
}

bool TelemetrySource::have_process() {
    const auto now = Clock::now();
    if (child_.pidfd || (started_ != Clock::time_point{} && now - started_ < kPause)) {
        return static_cast<bool>(child_.pidfd);
    }
    started_ = now;
    try {
        start();
    } catch (const std::system_error& error) {
        spdlog::warn("the host's NVML cannot be asked: {}", error.what());
        return false;
    }
    return true;
}

bool TelemetrySource::fresh() {
    const auto now = Clock::now();
    const bool recent = now - answered_ < std::chrono::milliseconds{kTelemetryAgeMs};
    if (recent || (asked_ && late_)) {
        return true;
    }
    if (asked_) {
        return false;
    }
    if (!have_process()) {
        return true;
    }
    TelemetryQuestion question{};
    question.device_count = static_cast<std::uint32_t>(uuids_.size());
    for (std::size_t i = 0; i < uuids_.size(); ++i) {
        std::ranges::copy(uuids_[i], question.uuid[i]);
    }
    if (send_packet(socket_.get(), std::as_bytes(std::span(&question, 1)), {}) < 0) {
        return true;  // it has ended, as its pidfd is about to say
    }
    asked_ = true;
    late_ = false;
    limit_.arm(kLimit);
    return false;
}

const TelemetryDevice* TelemetrySource::of(const Uuid& uuid) const {
    const auto found = std::ranges::find(uuids_, uuid);
    const auto index = static_cast<std::size_t>(found - uuids_.begin());
    return answer_ && found != uuids_.end() && index < answer_->device_count
               ? &answer_->device[index]
               : nullptr;
}

void TelemetrySource::start() {
    int sockets[2];
    int pipe[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        throw std::system_error(errno, std::generic_category(), "socketpair");
    }
    socket_ = transport::Descriptor(sockets[0]);
    const transport::Descriptor theirs(sockets[1]);
    if (::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    output_ = transport::Descriptor(pipe[0]);
    const transport::Descriptor their_output(pipe[1]);
    child_ =
        spawn_worker(setting_.program, setting_.isolation,
                     {.telemetry = true, .descriptor = theirs.get(), .output = their_output.get()});
    socket_watch_ =
        setting_.loop.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { on_answer(); });
    end_watch_ = setting_.loop.watch(child_.pidfd.get(), EPOLLIN,
                                     [this](std::uint32_t) { stop("it has ended"); });
}

/// Whatever it was: values are unknown from now on.
void TelemetrySource::stop(const char* why) {
    char said[400];
    const ssize_t length = ::read(output_.get(), said, sizeof said);
    spdlog::warn("the host's NVML tells nothing: {}: {}", why,
                 printable({said, static_cast<std::size_t>(std::max<ssize_t>(length, 0))}));
    ::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
    end_watch_.reset();
    socket_watch_.reset();
    socket_.reset();
    output_.reset();
    reap(child_);
    child_ = {};
    limit_.disarm();
    answer_.reset();
    asked_ = false;
    answered_ = Clock::now();
    tell();
}

void TelemetrySource::on_answer() {
    Packet packet;
    const Receipt receipt = receive_packet(socket_.get(), sizeof(TelemetryAnswer), 0, packet);
    if (receipt == Receipt::kNothingYet) {
        return;
    }
    if (receipt == Receipt::kEnd) {
        socket_watch_.reset();  // the process' own end follows
        return;
    }
    auto answer = std::make_unique<TelemetryAnswer>();
    if (packet.bytes.size() == sizeof *answer) {
        std::memcpy(answer.get(), packet.bytes.data(), sizeof *answer);
    }
    const auto devices =
        std::span(answer->device, std::min<std::size_t>(answer->device_count, kMaxDevices));
    if (packet.bytes.size() != sizeof *answer || answer->device_count > kMaxDevices ||
        !std::ranges::all_of(devices, terminated)) {
        stop("it says what it never says");
        return;
    }
    limit_.disarm();
    answer_ = std::move(answer);
    answered_ = Clock::now();
    asked_ = false;
    tell();
}

void TelemetrySource::tell() {
    // None of them ends a guest, and with it a listener.
    for (const auto& listener : listeners_) {
        listener();
    }
}

}  // namespace cubar::host
