// SPDX-License-Identifier: Apache-2.0
// What systemd makes of a service's unit and its drop-ins, read from the files: the doctor also
// looks at machines whose systemd does not run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "guest/files.h"

namespace cubar::tools {

/// One assignment in a [Service] section.
struct Setting {
    std::string key;
    std::string value;
    std::string file;  ///< without the root
};

struct SystemdUnit {
    std::string fragment;  ///< the unit's own file; empty if there is none
    bool masked = false;
    std::vector<Setting> settings;  ///< in systemd's order: the later one counts

    /// The settings of a list; an empty one forgets those before it.
    std::vector<Setting> list(std::string_view key) const;
    /// True if the last assignment says yes in one of systemd's words.
    bool is_on(std::string_view key) const;
    /// A variable of the service's environment and the file that sets it; file empty: not set.
    Setting variable(const Root& root, std::string_view name) const;
};

/// Reads NAME.service and NAME.service.d/*.conf from systemd's directories.
SystemdUnit read_unit(const Root& root, const std::string& name);

}  // namespace cubar::tools
