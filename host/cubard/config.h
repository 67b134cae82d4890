// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "host/common/worker_arguments.h"

namespace cubar::host {

/// All that is wrong with the configuration, each as "file:line: what" (or "--option: what").
class ConfigError : public std::runtime_error {
public:
    explicit ConfigError(std::vector<std::string> wrongs)
        : std::runtime_error(joined(wrongs)), wrongs_(std::move(wrongs)) {}
    explicit ConfigError(const std::string& wrong) : ConfigError(std::vector{wrong}) {}

    const std::vector<std::string>& wrongs() const { return wrongs_; }

private:
    static std::string joined(const std::vector<std::string>& wrongs) {
        std::string result;
        for (const std::string& wrong : wrongs) {
            result += (result.empty() ? "" : "\n") + wrong;
        }
        return result;
    }
    std::vector<std::string> wrongs_;
};

using Line = std::uint32_t;
/// Where a key stands in the file, for what shows only later to be wrong.
using Lines = std::map<std::string, Line, std::less<>>;

struct VmConfig {
    std::string name;
    std::string socket;  ///< path: ivshmem for a VM, the local protocol if `local`
    bool local = false;  ///< private instance (--local), no VM
    std::uint32_t socket_mode = 0660;
    std::string socket_group;  ///< empty: cubard's
    std::uint64_t bar_bytes = std::uint64_t{1} << 30;
    std::uint32_t channels = 16;
    std::uint32_t sessions = 16;       ///< at most so many at once
    std::uint64_t memory_quota = 0;    ///< bytes on each device; 0: none
    std::vector<std::string> devices;  ///< indices or UUIDs in the guest's order; empty: all
    int priority = 0;                  ///< nice value of its workers
    std::uint64_t compile_cache = std::uint64_t{2} << 30;  ///< bytes on disk; 0: none
    Lines lines;
};

enum class StoreChoice { kAuto, kSystemd, kKeeper, kNone };

struct Config {
    std::optional<Gpu> gpu;  ///< nothing: NVIDIA's where it initialises, else softgpu
    std::string driver;      ///< path of the driver; empty: the usual place
    bool fences = true;      ///< as in WorkerArguments; a file cannot say it
    std::string runtime_directory = "/run/cubar";
    std::string cache_directory = "/var/cache/cubar";
    StoreChoice descriptor_store = StoreChoice::kAuto;
    bool control = true;      ///< cubarctl is served; a private instance has no use for it
    std::string admin_group;  ///< who may use cubarctl besides root; empty: nobody
    std::uint32_t first_worker_uid = 1'879'048'192;  ///< above the ranges that distributions assign
    std::string worker_group;  ///< group that may open the GPU's device files; empty: none
    std::vector<VmConfig> vms;
    Lines lines;

    /// Where cubarctl finds cubard.
    std::string control_socket() const { return runtime_directory + "/control"; }

    /// Reads and checks a file. Throws ConfigError.
    static Config load(const std::string& path);
    static Config parse(std::string_view text, std::string_view file_name);
};

/// "512 MiB", "4GiB" or plain bytes.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// "auto" is nothing in `gpu`; false where the name is not known.
bool parse_gpu(std::string_view name, std::optional<Gpu>& gpu);

}  // namespace cubar::host
