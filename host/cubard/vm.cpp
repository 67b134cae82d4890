// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/vm.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "host/cubard/packet.h"
#include "transport/local_protocol.h"

namespace cubar::host {
namespace {

std::vector<Ledger::Limits> limits(const VmConfig& config, const Facts& facts) {
    std::vector<Ledger::Limits> result;
    for (const DeviceFacts& device : std::span(facts.device, facts.device_count)) {
        result.push_back({.total = device.total_bytes, .quota = config.memory_quota});
    }
    return result;
}

pid_t peer_pid(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : -1;
}

}  // namespace

Facts Vm::facts_for(const VmConfig& config, const Facts& facts) {
    Facts result = facts;
    if (config.memory_quota != 0) {
        for (DeviceFacts& device : std::span(result.device, result.device_count)) {
            device.total_bytes = std::min(device.total_bytes, config.memory_quota);
        }
    }
    return result;
}

Vm::Vm(const VmConfig& config, WorkerSetting setting, const Facts& facts, const CacheRoot* caches,
       DescriptorStore& store, Kept kept, transport::Descriptor listener)
    : config_(config),
      setting_(std::move(setting)),
      facts_(facts_for(config, facts)),
      store_(store),
      ledger_(limits(config, facts)),
      listener_(listener
                    ? ListeningSocket(std::move(listener))
                    : ListeningSocket(config.socket, config.local ? SOCK_SEQPACKET : SOCK_STREAM,
                                      config.socket_mode, config.socket_group)),
      ended_timer_(setting_.loop, [this] { ended_.clear(); }) {
    if (caches != nullptr && config.compile_cache != 0) {
        const uid_t owner = setting_.isolation.own_uid
                                ? setting_.program.first_uid + setting_.uid_slot
                                : ::geteuid();
        setting_.cache = &cache_.emplace(setting_.loop, *caches, config.name, owner,
                                         config.compile_cache, [this] {
                                             if (guest_) {
                                                 guest_->evict_sessions();
                                             }
                                         });
    }
    if (!kept.empty()) {
        take_back(std::move(kept));
    }
    if (config_.local) {
        guest_ = std::make_unique<Guest>(config_, setting_, ledger_, facts_);
    }
    listener_watch_ =
        setting_.loop.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); });
    spdlog::info("{}: served at {}", config_.name, config_.socket);
}

void Vm::take_back(Kept kept) {
    const auto qemu = kept.find("qemu");
    std::vector<std::string> names;
    for (const auto& [name, descriptor] : kept) {
        names.push_back(config_.name + "/" + name);
    }
    try {
        if (qemu == kept.end()) {
            throw std::runtime_error("QEMU has ended");
        }
        IvshmemConnection connection(std::move(qemu->second));
        guest_ = std::make_unique<Guest>(config_, setting_, ledger_, facts_, std::move(kept));
        guest_->keep_in(store_);
        qemu_ = std::move(connection);
        watch_qemu();
        spdlog::info("{}: the running guest is served again; its old sessions are over",
                     config_.name);
    } catch (const std::exception& error) {
        spdlog::warn("{}: what was kept of the guest is of no use: {}", config_.name, error.what());
        guest_.reset();
        for (const std::string& name : names) {
            store_.drop(name);
        }
    }
}

void Vm::on_connection() {
    transport::Descriptor socket = listener_.accept();
    if (!socket) {
        return;
    }
    try {
        if (config_.local) {
            serve_local(std::move(socket));
        } else {
            serve_qemu(std::move(socket));
        }
    } catch (const std::exception& error) {
        spdlog::error("{}: a connection could not be served: {}", config_.name, error.what());
    }
}

// --- QEMU ----------------------------------------------------------------------------------------

void Vm::serve_qemu(transport::Descriptor socket) {
    if (qemu_ && qemu_->receive() == IvshmemConnection::State::kGone) {
        end_guest();  // its end and its successor came in one round of events
    }
    if (qemu_) {
        spdlog::warn("{}: process {} connects while a QEMU is connected; refused", config_.name,
                     peer_pid(socket.get()));
        return;
    }
    auto guest = std::make_unique<Guest>(config_, setting_, ledger_, facts_);
    IvshmemConnection connection(std::move(socket));
    connection.queue_handshake(guest->memory(), guest->doorbells());
    spdlog::info("{}: process {} is connected", config_.name, peer_pid(connection.socket()));
    guest_ = std::move(guest);
    qemu_ = std::move(connection);
    watch_qemu();
    qemu_watch_.wait_for(EPOLLIN | EPOLLOUT);
}

void Vm::watch_qemu() {
    qemu_watch_ = setting_.loop.watch(qemu_->socket(), EPOLLIN,
                                      [this](std::uint32_t events) { on_qemu(events); });
}

void Vm::on_qemu(std::uint32_t events) {
    using State = IvshmemConnection::State;
    State state = State::kServed;
    if ((events & EPOLLOUT) != 0) {
        state = qemu_->send();
        if (state == State::kServed) {
            qemu_watch_.wait_for(EPOLLIN);
            // First the connection: what is kept without one is of no use.
            store_.keep(config_.name + "/qemu", qemu_->socket());
            guest_->keep_in(store_);
        }
    }
    if (state != State::kGone && (events & ~std::uint32_t{EPOLLOUT}) != 0) {
        state = qemu_->receive();
    }
    if (state == State::kGone) {
        spdlog::info(
            "{}: {}", config_.name,
            qemu_->spoke() ? "the client talks, so it is no QEMU; disconnected" : "QEMU has ended");
        end_guest();
    }
}

void Vm::end_guest() {
    guest_->stop(SessionError::kEvicted);
    store_.drop(config_.name + "/qemu");
    guest_->drop_from_store();
    qemu_watch_.reset();
    qemu_.reset();
    ending_.push_back(std::move(guest_));
    const auto place = std::prev(ending_.end());
    (*place)->end([this, place] {
        ended_.splice(ended_.end(), ending_, place);
        ended_timer_.arm(std::chrono::milliseconds{1});
    });
}

// --- local clients -------------------------------------------------------------------------------

void Vm::serve_local(transport::Descriptor socket) {
    std::vector<int> descriptors{guest_->memory()};
    for (const transport::Descriptor& doorbell : guest_->doorbells()) {
        descriptors.push_back(doorbell.get());
    }
    const transport::LocalHello hello{
        .magic = transport::kLocalMagic,
        .version = transport::kLocalVersion,
        .descriptor_count = static_cast<std::uint32_t>(descriptors.size()),
        .reserved = 0};
    if (send_packet(socket.get(), std::as_bytes(std::span(&hello, 1)), descriptors) < 0) {
        return;
    }
    const pid_t pid = peer_pid(socket.get());
    if (pid <= 0 || clients_.contains(pid)) {
        return;
    }
    // The client hangs up at once; that its process has ended shows here, also while a forked child
    // still has its descriptors.
    Client client{transport::Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), {}};
    if (!client.pidfd) {
        guest_->client_ended(static_cast<std::uint32_t>(pid));
        return;
    }
    client.watch = setting_.loop.watch(client.pidfd.get(), EPOLLIN, [this, pid](std::uint32_t) {
        clients_.erase(pid);
        guest_->client_ended(static_cast<std::uint32_t>(pid));
    });
    clients_.emplace(pid, std::move(client));
}

VmStatus Vm::status() {
    VmStatus result{.name = config_.name,
                    .socket = config_.socket,
                    .connected = guest_ != nullptr,
                    .bar_bytes = config_.bar_bytes,
                    .channels = config_.channels,
                    .max_sessions = config_.sessions};
    for (std::uint32_t device = 0; device < ledger_.device_count(); ++device) {
        result.devices.push_back({facts_.device[device].name, ledger_.usage(device)});
    }
    if (cache_) {
        result.cache = CacheStatus{cache_->bytes(), cache_->limit()};
    }
    if (guest_) {
        result.sessions = guest_->sessions();
        if (const auto& boot = guest_->boot_id(); boot != std::array<std::uint64_t, 2>{}) {
            result.boot_id = fmt::format("{:016x}{:016x}", boot[0], boot[1]);
        }
    }
    return result;
}

void Vm::stop() {
    listener_watch_.reset();
    qemu_watch_.reset();
    if (guest_) {
        guest_->stop(SessionError::kHostRestarted);
    }
}

}  // namespace cubar::host
