// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "host/cubard/ledger.h"
#include "host/cubard/shared_memory.h"

namespace cubar::host {

/// What cubard must remember of a guest across its own restart and cannot take from the memory that
/// it shares with it. Stands in a memory file of its own that only the descriptor store also holds.
class GuestBook {
public:
    explicit GuestBook(const MemoryPlan& plan)
        : GuestBook(plan, create_sealed_memory("cubar-book", bytes(plan))) {}
    GuestBook(const MemoryPlan& plan, transport::Descriptor file)
        : granules_(plan.granules()), file_(std::move(file)), mapping_(file_.get(), bytes(plan)) {}

    /// Of the file for such a guest.
    static std::uint64_t bytes(const MemoryPlan& plan) {
        return (sizeof(Page) + plan.granules() * sizeof(SessionId) + kPageBytes - 1) &
               ~std::uint64_t{kPageBytes - 1};
    }

    int file() const { return file_.get(); }
    /// The session that claimed a channel (0 while the channel is free), and the claim's number.
    SessionId& session(std::uint32_t channel) { return page().session[channel]; }
    std::uint64_t& claim_number(std::uint32_t channel) { return page().claim_number[channel]; }
    /// Of the guest's kernel: all sessions are of this boot.
    std::array<std::uint64_t, 2>& boot_id() { return page().boot_id; }
    /// The last number given to a session.
    SessionId& last_session() { return page().last_session; }
    std::span<SessionId> granule_owners() {
        return {reinterpret_cast<SessionId*>(mapping_.data() + sizeof(Page)), granules_};
    }

private:
    struct Page {
        SessionId last_session;
        std::array<std::uint64_t, 2> boot_id;
        SessionId session[kMaxChannels];
        std::uint64_t claim_number[kMaxChannels];
    };
    // An owner for each granule follows.
    Page& page() { return *reinterpret_cast<Page*>(mapping_.data()); }

    std::uint64_t granules_;
    transport::Descriptor file_;
    SharedMapping mapping_;
};

}  // namespace cubar::host
