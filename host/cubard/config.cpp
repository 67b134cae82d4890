// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/config.h"

#include <sys/un.h>
#include <toml++/toml.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "cubar/layout.h"
#include "host/cubard/config_reader.h"
#include "host/cubard/memory_plan.h"

namespace cubar::host {
namespace {

const toml::node& place(const toml::table& table, std::string_view key) {
    const toml::node* node = table.get(key);
    return node != nullptr ? *node : table;
}

Lines lines_of(const toml::table& table) {
    Lines result;
    for (const auto& [key, value] : table) {
        result.emplace(key.str(), ConfigReader::line_of(value));
    }
    return result;
}

/// It also names a directory, and what the descriptor store keeps.
bool good_name(std::string_view name) {
    return name.size() <= 64 && name.front() != '.' && std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
           });
}

bool good_uuid(std::string_view name) {
    const bool prefixed = name.starts_with("GPU-") || name.starts_with("MIG-");
    return prefixed && name.size() > 4 && name.size() <= 64 &&
           std::ranges::all_of(name.substr(4), [](char c) {
               return c == '-' || c == '/' || std::isxdigit(static_cast<unsigned char>(c)) != 0 ||
                      std::isalpha(static_cast<unsigned char>(c)) != 0;
           });
}

void read_devices(ConfigReader& reader, const toml::table& table, VmConfig& vm) {
    const toml::node* node = table.get("devices");
    if (node == nullptr) {
        return;
    }
    const toml::array* list = node->as_array();
    if (list == nullptr || list->empty() || list->size() > kMaxDevices) {
        reader.wrong(*node, "'devices' must be a list of 1 to " + std::to_string(kMaxDevices) +
                                " indices or UUIDs");
        return;
    }
    for (const toml::node& entry : *list) {
        if (const auto* index = entry.as_integer(); index != nullptr && index->get() >= 0) {
            vm.devices.push_back(std::to_string(index->get()));
        } else if (const auto* uuid = entry.as_string();
                   uuid != nullptr && good_uuid(uuid->get())) {
            vm.devices.push_back(uuid->get());
        } else {
            reader.wrong(entry, "a device is an index from 0, or \"GPU-…\" or \"MIG-…\"");
            continue;
        }
        // The driver itself reads the list, and it knows lists of one kind only.
        const bool first_is_index = list->front().is_integer();
        if (entry.is_integer() != first_is_index) {
            reader.wrong(entry, "'devices' names either indices or UUIDs, not both");
        }
    }
}

void read_bar(ConfigReader& reader, const toml::table& table, VmConfig& vm) {
    reader.bytes(table, "bar", vm.bar_bytes);
    if (!std::has_single_bit(vm.bar_bytes) || vm.bar_bytes > kMaxBarBytes) {
        reader.wrong(place(table, "bar"), "'bar' must be a power of two, at most 1 TiB");
    } else if (vm.bar_bytes < smallest_bar(vm.channels)) {
        reader.wrong(place(table, "bar"),
                     "'bar' of " + std::to_string(vm.bar_bytes >> 20) + " MiB is too small for " +
                         std::to_string(vm.channels) + " channels: at least " +
                         std::to_string(smallest_bar(vm.channels) >> 20) + " MiB");
    }
}

/// A directory's entries take some of it already.
constexpr std::uint64_t kSmallestCache = std::uint64_t{16} << 20;

void read_compile_cache(ConfigReader& reader, const toml::table& table, VmConfig& vm) {
    if (const auto* word = table["compile_cache"].as_string(); word != nullptr && *word == "none") {
        vm.compile_cache = 0;
    } else if (reader.bytes(table, "compile_cache", vm.compile_cache) &&
               vm.compile_cache < kSmallestCache) {
        reader.wrong(place(table, "compile_cache"),
                     "'compile_cache' must be at least 16 MiB, or \"none\"");
    }
}

VmConfig read_vm(ConfigReader& reader, const toml::table& table) {
    reader.only(table, "[[vm]]",
                {"name", "socket", "socket_mode", "socket_group", "bar", "channels", "sessions",
                 "memory", "devices", "priority", "compile_cache"});
    VmConfig vm;
    vm.lines = lines_of(table);
    if (!table.contains("name")) {
        reader.wrong(table, "a [[vm]] needs a 'name'");
    }
    if (reader.string(table, "name", vm.name) && !good_name(vm.name)) {
        reader.wrong(
            place(table, "name"),
            "'name' may have 64 letters, digits and '-', '_', '.', which is not the first");
    }
    if (!table.contains("socket")) {
        reader.wrong(table, "VM " + vm.name + " needs a 'socket'");
    }
    reader.path(table, "socket", vm.socket);
    if (vm.socket.size() >= sizeof(sockaddr_un::sun_path)) {
        reader.wrong(place(table, "socket"), "'socket' is longer than a socket's path may be");
    }
    reader.integer(table, "socket_mode", 0, 0777, vm.socket_mode);
    reader.string(table, "socket_group", vm.socket_group);
    reader.integer(table, "channels", 1, static_cast<std::int64_t>(kMaxChannels), vm.channels);
    vm.sessions = vm.channels;
    reader.integer(table, "sessions", 1, static_cast<std::int64_t>(kMaxChannels), vm.sessions);
    if (vm.sessions > vm.channels) {
        reader.wrong(place(table, "sessions"),
                     "VM " + vm.name + " has fewer channels than sessions");
    }
    read_bar(reader, table, vm);
    reader.bytes(table, "memory", vm.memory_quota);
    reader.integer(table, "priority", -20, 19, vm.priority);
    read_devices(reader, table, vm);
    read_compile_cache(reader, table, vm);
    return vm;
}

void read_host(ConfigReader& reader, const toml::table& table, Config& config) {
    reader.only(table, "[host]",
                {"gpu", "driver", "runtime_directory", "cache_directory", "descriptor_store",
                 "admin_group"});
    std::string word;
    if (reader.string(table, "gpu", word) && !parse_gpu(word, config.gpu)) {
        reader.wrong(place(table, "gpu"), "'gpu' must be auto, soft, nvidia or null");
    }
    reader.path(table, "driver", config.driver);
    reader.path(table, "runtime_directory", config.runtime_directory);
    if (config.control_socket().size() >= sizeof(sockaddr_un::sun_path)) {
        reader.wrong(place(table, "runtime_directory"),
                     "'runtime_directory' is too long for the path of a socket in it");
    }
    reader.path(table, "cache_directory", config.cache_directory);
    reader.string(table, "admin_group", config.admin_group);
    word = "auto";
    reader.string(table, "descriptor_store", word);
    constexpr std::pair<std::string_view, StoreChoice> kChoices[] = {
        {"auto", StoreChoice::kAuto},
        {"systemd", StoreChoice::kSystemd},
        {"keeper", StoreChoice::kKeeper},
        {"none", StoreChoice::kNone}};
    const auto* choice =
        std::ranges::find(kChoices, word, &std::pair<std::string_view, StoreChoice>::first);
    if (choice == std::end(kChoices)) {
        reader.wrong(place(table, "descriptor_store"),
                     "'descriptor_store' must be auto, systemd, keeper or none");
        return;
    }
    config.descriptor_store = choice->second;
}

void read_workers(ConfigReader& reader, const toml::table& table, Config& config) {
    reader.only(table, "[workers]", {"first_uid", "group"});
    reader.integer(table, "first_uid", 1, 0xffff'ffff - 65536, config.first_worker_uid);
    reader.string(table, "group", config.worker_group);
}

void read_vms(ConfigReader& reader, const toml::node& vms, Config& config) {
    if (!vms.is_array_of_tables()) {
        reader.wrong(vms, "VMs are written as [[vm]]");
        return;
    }
    std::set<std::string> names;
    std::set<std::string> sockets;
    for (const toml::node& node : *vms.as_array()) {
        VmConfig vm = read_vm(reader, *node.as_table());
        if (!vm.name.empty() && !names.insert(vm.name).second) {
            reader.wrong(node, "two VMs have the name '" + vm.name + "'");
        }
        if (vm.socket == config.control_socket()) {
            reader.wrong(node, "VM " + vm.name + " has the socket that cubarctl uses");
        } else if (!vm.socket.empty() && !sockets.insert(vm.socket).second) {
            reader.wrong(node, "two VMs have the socket '" + vm.socket + "'");
        }
        config.vms.push_back(std::move(vm));
    }
}

}  // namespace

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
    std::uint64_t number = 0;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    std::string_view unit(end, static_cast<std::size_t>(last - end));
    while (unit.starts_with(' ')) {
        unit.remove_prefix(1);
    }
    constexpr std::pair<std::string_view, unsigned> kUnits[] = {
        {"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    const auto* found =
        std::ranges::find(kUnits, unit, &std::pair<std::string_view, unsigned>::first);
    if (found == std::end(kUnits) || number == 0 || number > (~std::uint64_t{0} >> found->second)) {
        return std::nullopt;
    }
    return number << found->second;
}

bool parse_gpu(std::string_view name, std::optional<Gpu>& gpu) {
    gpu = gpu_from_name(name);
    return gpu.has_value() || name == "auto";
}

Config Config::parse(std::string_view text, std::string_view file_name) {
    toml::table root;
    try {
        root = toml::parse(text, file_name);
    } catch (const toml::parse_error& error) {
        throw ConfigError(std::string(file_name) + ":" + std::to_string(error.source().begin.line) +
                          ": " + std::string(error.description()));
    }
    ConfigReader reader(file_name);
    Config config;
    reader.only(root, "the file", {"host", "workers", "vm"});
    for (const auto& [name, read] : {std::pair{"host", &read_host}, {"workers", &read_workers}}) {
        if (const toml::table* table = reader.table(root, name)) {
            config.lines.merge(lines_of(*table));
            read(reader, *table, config);
        }
    }
    if (const toml::node* vms = root.get("vm")) {
        read_vms(reader, *vms, config);
    }
    reader.finish();
    return config;
}

Config Config::load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw ConfigError(path + ": cannot be read: " + std::generic_category().message(errno));
    }
    std::ostringstream text;
    text << file.rdbuf();
    return parse(text.view(), path);
}

}  // namespace cubar::host
