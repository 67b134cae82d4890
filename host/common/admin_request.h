// SPDX-License-Identifier: Apache-2.0
#pragma once

// What cubarctl asks of cubard: one line of JSON over a socket, answered by one line of JSON, and
// the connection ends. Who may connect is the socket's mode's business; the bytes are checked all
// the same.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cubar::host {

enum class AdminCommand {
    kStatus,  ///< {"command": "status"}: VMs, their sessions, and what they use
    kKill,    ///< {"command": "kill", "vm": NAME, "session": NUMBER}: ends one session
    kReset,   ///< {"command": "reset", "vm": NAME}: ends all sessions of a VM
};

struct AdminRequest {
    AdminCommand command = AdminCommand::kStatus;
    std::string vm;
    std::uint64_t session = 0;
};

/// With the end of its line.
inline constexpr std::size_t kMaxAdminRequest = 4096;

/// One line, with its end.
std::string to_line(const AdminRequest& request);
/// Nothing where it is no request.
std::optional<AdminRequest> decode_admin_request(std::string_view line);

}  // namespace cubar::host
