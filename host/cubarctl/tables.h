// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cubar::host {

/// For people: what cubard's status says, in columns. Throw nlohmann::json::exception where it is
/// no status.
std::string table_of_vms(const nlohmann::ordered_json& status);
/// Of one VM, or of all if `vm` is empty.
std::string table_of_sessions(const nlohmann::ordered_json& status, const std::string& vm);
std::string table_of_usage(const nlohmann::ordered_json& status);

/// "1.5 GiB"
std::string in_words(std::uint64_t bytes);

}  // namespace cubar::host
