// SPDX-License-Identifier: Apache-2.0
#include "guest/doctor/systemd_unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <map>

namespace cubar::tools {

namespace {

/// A file in an earlier one hides those of the same name in later ones.
constexpr const char* kDirectories[] = {"/etc/systemd/system", "/run/systemd/system",
                                        "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                        "/lib/systemd/system"};

bool exists(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0;
}

/// So does systemd: a link to /dev/null switches a unit or a drop-in off.
bool is_masked(const std::string& path) {
    char target[PATH_MAX];
    const ssize_t bytes = readlink(path.c_str(), target, sizeof target);
    return bytes > 0 && std::string_view(target, static_cast<std::size_t>(bytes)) == "/dev/null";
}

void read_settings(const Root& root, const std::string& file, std::vector<Setting>& settings) {
    const std::optional<std::string> text = read_text(root(file));
    bool in_service = false;
    std::string whole;
    for_each_line(text ? std::string_view(*text) : std::string_view(), [&](std::string_view line) {
        line = trim(line);
        if (whole.empty() && (line.empty() || line.front() == '#' || line.front() == ';')) {
            return;
        }
        whole += line;
        if (whole.ends_with('\\')) {
            whole.back() = ' ';
            return;
        }
        const std::string_view said = trim(whole);
        if (said.starts_with('[')) {
            in_service = said == "[Service]";
        } else if (const std::size_t equals = said.find('=');
                   in_service && equals != std::string_view::npos) {
            settings.push_back({std::string(trim(said.substr(0, equals))),
                                std::string(trim(said.substr(equals + 1))), file});
        }
        whole.clear();
    });
}

/// Splits as systemd does: at blanks, but not within quotes, which go.
std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    bool open = false;
    char quote = 0;
    for (const char letter : text) {
        if (quote != 0 ? letter == quote : letter == '"' || letter == '\'') {
            quote = quote != 0 ? '\0' : letter;
        } else if (quote == 0 && (letter == ' ' || letter == '\t')) {
            open = false;
            continue;
        } else {
            if (!open) {
                words.emplace_back();
            }
            words.back() += letter;
        }
        if (!open && quote != 0) {
            words.emplace_back();
        }
        open = true;
    }
    return words;
}

}  // namespace

std::vector<Setting> SystemdUnit::list(std::string_view key) const {
    std::vector<Setting> found;
    for (const Setting& setting : settings) {
        if (setting.key != key) {
            continue;
        }
        if (setting.value.empty()) {
            found.clear();
        } else {
            found.push_back(setting);
        }
    }
    return found;
}

bool SystemdUnit::is_on(std::string_view key) const {
    const std::vector<Setting> found = list(key);
    if (found.empty()) {
        return false;
    }
    const std::string& value = found.back().value;
    return value == "yes" || value == "true" || value == "on" || value == "1";
}

Setting SystemdUnit::variable(const Root& root, std::string_view name) const {
    const std::string begin = std::string(name) + "=";
    Setting result{std::string(name), {}, {}};
    for (const Setting& setting : list("Environment")) {
        for (const std::string& word : words_of(setting.value)) {
            if (word.starts_with(begin)) {
                result.value = word.substr(begin.size());
                result.file = setting.file;
            }
        }
    }
    // Files of variables count more than lines, whatever their order.
    for (const Setting& setting : list("EnvironmentFile")) {
        const std::string file = setting.value.substr(setting.value.starts_with('-') ? 1 : 0);
        const std::optional<std::string> text = read_text(root(file));
        for_each_line(text ? std::string_view(*text) : std::string_view(),
                      [&](std::string_view line) {
                          const std::vector<std::string> words = words_of(trim(line));
                          if (!words.empty() && words.front().starts_with(begin)) {
                              result.value = words.front().substr(begin.size());
                              result.file = file;
                          }
                      });
    }
    return result;
}

SystemdUnit read_unit(const Root& root, const std::string& name) {
    SystemdUnit unit;
    std::map<std::string, std::string> drop_ins;
    for (const char* directory : kDirectories) {
        const std::string own = path_in(directory, name);
        if (unit.fragment.empty() && exists(root(own))) {
            unit.fragment = own;
            unit.masked = is_masked(root(own));
        }
        const std::string folder = own + ".d";
        for (const std::string& file : list_directory(root(folder))) {
            if (file.ends_with(".conf")) {
                drop_ins.emplace(file, path_in(folder, file));
            }
        }
    }
    if (!unit.fragment.empty() && !unit.masked) {
        read_settings(root, unit.fragment, unit.settings);
    }
    for (const auto& [file, path] : drop_ins) {
        if (!is_masked(root(path))) {
            read_settings(root, path, unit.settings);
        }
    }
    return unit;
}

}  // namespace cubar::tools
