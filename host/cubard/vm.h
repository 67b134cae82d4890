// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "host/cubard/compile_cache.h"
#include "host/cubard/config.h"
#include "host/cubard/descriptor_store.h"
#include "host/cubard/event_loop.h"
#include "host/cubard/guest.h"
#include "host/cubard/ivshmem.h"
#include "host/cubard/ledger.h"
#include "host/cubard/status.h"
#include "host/cubard/unix_socket.h"

namespace cubar::host {

/// A configured VM: its socket, whoever is connected, and the guest that runs. Throws
/// std::runtime_error where it cannot be served.
class Vm {
public:
    /// `kept` is what the store has of this VM, without the "VM/" in the names; empty: nothing.
    /// `listener` is its socket if somebody made it already (systemd), else empty. `caches` is null
    /// where the driver has no compile cache; it outlives this.
    Vm(const VmConfig& config, WorkerSetting setting, const Facts& facts, const CacheRoot* caches,
       DescriptorStore& store, Kept kept, transport::Descriptor listener);
    Vm(const Vm&) = delete;
    Vm& operator=(const Vm&) = delete;

    /// cubard ends: sessions are told so, workers killed. A guest whose QEMU lives stays in the
    /// store.
    void stop();

    const std::string& name() const { return config_.name; }
    VmStatus status();
    /// Ends a session; false where none of this number runs.
    bool kill_session(SessionId session) { return guest_ && guest_->kill_session(session); }

    /// The facts as this VM sees them: memory cut to the quota.
    static Facts facts_for(const VmConfig& config, const Facts& facts);

private:
    void take_back(Kept kept);
    void on_connection();
    void serve_qemu(transport::Descriptor socket);
    void watch_qemu();
    void on_qemu(std::uint32_t events);
    void end_guest();
    void serve_local(transport::Descriptor socket);

    struct Client {
        transport::Descriptor pidfd;
        EventLoop::Watch watch;
    };

    VmConfig config_;
    WorkerSetting setting_;
    std::optional<CompileCache> cache_;
    Facts facts_;
    DescriptorStore& store_;
    Ledger ledger_;
    ListeningSocket listener_;
    std::unique_ptr<Guest> guest_;
    /// Over, but for the end of their workers. Guests that said so go when the loop is back.
    std::list<std::unique_ptr<Guest>> ending_;
    std::list<std::unique_ptr<Guest>> ended_;
    Timer ended_timer_;
    std::optional<IvshmemConnection> qemu_;
    std::map<pid_t, Client> clients_;
    EventLoop::Watch listener_watch_;
    EventLoop::Watch qemu_watch_;
};

}  // namespace cubar::host
