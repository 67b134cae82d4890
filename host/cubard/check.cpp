// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/check.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <stdexcept>

#include "host/cubard/cache_directory.h"

namespace cubar::host {
namespace {

namespace fs = std::filesystem;

/// Collects what is wrong, with the place of the key that says it.
class Findings {
public:
    explicit Findings(std::string file) : file_(std::move(file)) {}

    void add(const Lines& lines, std::string_view key, const std::string& what) {
        std::string text = file_;
        if (const auto found = lines.find(key); found != lines.end()) {
            text.append(":").append(std::to_string(found->second));
        }
        texts_.push_back(text.append(": ").append(what));
    }
    std::vector<std::string> take() { return std::move(texts_); }

private:
    std::string file_;
    std::vector<std::string> texts_;
};

bool directory_exists(const fs::path& path) {
    std::error_code ignored;
    return fs::is_directory(path, ignored);
}

void check_group(Findings& findings, const Lines& lines, const char* key,
                 const std::string& group) {
    if (!group.empty() && ::getgrnam(group.c_str()) == nullptr) {
        findings.add(lines, key,
                     "there is no group '" + group + "': make it (groupadd --system " + group +
                         ") or name another in '" + key + "'");
    }
}

/// cubard makes such a directory itself, but not what it lies in.
void check_own_directory(Findings& findings, const Lines& lines, const char* key,
                         const std::string& path) {
    const fs::path parent = fs::path(path).parent_path();
    std::error_code ignored;
    if (fs::exists(path, ignored) && !directory_exists(path)) {
        findings.add(lines, key, path + " is no directory");
    } else if (!directory_exists(path) && !directory_exists(parent)) {
        findings.add(lines, key, "there is no directory " + parent.string() + " for " + path);
    }
}

/// The cache's directory is only looked at: --check makes nothing.
void check_cache(Findings& findings, const Config& config) {
    const std::string& path = config.cache_directory;
    check_own_directory(findings, config.lines, "cache_directory", path);
    if (!directory_exists(path)) {
        return;
    }
    try {
        CacheRoot::check(path);
    } catch (const std::runtime_error& error) {
        findings.add(config.lines, "cache_directory", error.what());
    }
}

void check_socket(Findings& findings, const VmConfig& vm, const Config& config) {
    const std::string directory = fs::path(vm.socket).parent_path();
    if (directory != config.runtime_directory && !directory_exists(directory)) {
        findings.add(vm.lines, "socket",
                     "VM " + vm.name + ": there is no directory " + directory +
                         " for its socket: make it, or use " + config.runtime_directory);
    }
    struct stat status {};
    if (::lstat(vm.socket.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
        findings.add(vm.lines, "socket",
                     "VM " + vm.name + ": " + vm.socket + " is there already, and is no socket");
    }
}

void check_program(Findings& findings, const std::string& path) {
    if (::access(path.c_str(), X_OK) != 0) {
        findings.add({}, "", path + " cannot be executed: install cubar-host again");
    }
}

void check_driver(Findings& findings, const Config& config, const Places& places) {
    const char* key = config.driver.empty() ? "gpu" : "driver";
    try {
        const DriverChoice choice = choose_driver(config, places);
        std::set<std::vector<std::string>> tried;
        for (const VmConfig& vm : config.vms) {
            if (vm.devices.empty() || !tried.insert(vm.devices).second) {
                continue;
            }
            const ProbeResult probe = probe_driver(choice.program, choice.isolation, vm.devices);
            if (!probe.report) {
                findings.add(vm.lines, "devices", "VM " + vm.name + ": " + probe.reason);
            }
        }
    } catch (const std::runtime_error& error) {
        findings.add(config.lines, key, error.what());
    }
}

}  // namespace

std::vector<std::string> check_machine(const Config& config, const std::string& file,
                                       const Places& places) {
    Findings findings(file);
    check_own_directory(findings, config.lines, "runtime_directory", config.runtime_directory);
    check_cache(findings, config);
    check_group(findings, config.lines, "admin_group", config.admin_group);
    check_group(findings, config.lines, "group", config.worker_group);
    for (const VmConfig& vm : config.vms) {
        check_socket(findings, vm, config);
        check_group(findings, vm.lines, "socket_group", vm.socket_group);
    }
    check_program(findings, places.worker);
    check_program(findings, places.keeper);
    // A group or a worker that is missing would only be told again, in worse words.
    std::vector<std::string> result = findings.take();
    if (result.empty()) {
        Findings driver(file);
        check_driver(driver, config, places);
        result = driver.take();
    }
    return result;
}

}  // namespace cubar::host
