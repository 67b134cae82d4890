// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

#include "host/common/admin_request.h"

namespace cubar::host {

/// Why there is no answer, and what to do about it.
class ControlError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Asks the cubard that listens at `path`. Throws ControlError, also where cubard refuses.
nlohmann::ordered_json ask_cubard(const std::string& path, const AdminRequest& request);

}  // namespace cubar::host
