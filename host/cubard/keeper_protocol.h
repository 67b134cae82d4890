// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cubar::host {

inline constexpr std::size_t kKeptNameBytes = 104;
inline constexpr std::size_t kMaxKept = 4096;

enum class KeeperRequest : std::uint32_t { kKeep = 1, kDrop = 2, kTakeBack = 3 };

/// cubard to cubar-keeper, one packet on a SOCK_SEQPACKET socket; kKeep brings one descriptor.
/// kTakeBack is answered by a KeeperMessage kKeep for each, then one with kTakeBack.
struct KeeperMessage {
    KeeperRequest request;
    std::uint32_t reserved;
    char name[kKeptNameBytes];  ///< ends with 0

    static KeeperMessage make(KeeperRequest request, std::string_view name) {
        KeeperMessage message{.request = request};
        name.copy(message.name, kKeptNameBytes - 1);
        return message;
    }
    static std::optional<KeeperMessage> decode(std::span<const std::byte> packet) {
        KeeperMessage message{};
        if (packet.size() != sizeof message) {
            return std::nullopt;
        }
        std::memcpy(&message, packet.data(), sizeof message);
        const auto request = static_cast<std::uint32_t>(message.request);
        const bool ends = std::ranges::find(message.name, '\0') != std::end(message.name);
        return ends && request >= 1 && request <= 3 ? std::optional(message) : std::nullopt;
    }
};

}  // namespace cubar::host
