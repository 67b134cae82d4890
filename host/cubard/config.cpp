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
#include "host/cubard/memory_plan.h"

namespace cubar::host {
namespace {

class Reader {
public:
    explicit Reader(std::string_view file) : file_(file) {}

    [[noreturn]] void fail(const toml::node& where, const std::string& what) const {
        throw ConfigError(std::string(file_) + ":" + std::to_string(where.source().begin.line) +
                          ": " + what);
    }

    /// Fails at the first key that is not among `known`.
    void only(const toml::table& table, const char* part,
              std::initializer_list<std::string_view> known) const {
        for (const auto& [key, value] : table) {
            if (std::ranges::find(known, key.str()) == known.end()) {
                fail(value, "unknown key '" + std::string(key.str()) + "' in " + part);
            }
        }
    }

    const toml::table* table(const toml::table& parent, std::string_view key) const {
        const toml::node* node = parent.get(key);
        if (node != nullptr && !node->is_table()) {
            fail(*node, quoted(key) + " must be a table");
        }
        return node != nullptr ? node->as_table() : nullptr;
    }

    void string(const toml::table& table, std::string_view key, std::string& value) const {
        if (const toml::node* node = table.get(key)) {
            const auto* text = node->as_string();
            if (text == nullptr) {
                fail(*node, quoted(key) + " must be a string");
            }
            value = text->get();
            if (value.empty() || value.find('\0') != std::string::npos) {
                fail(*node, quoted(key) + " must not be empty");
            }
        }
    }

    template <typename T>
    void integer(const toml::table& table, std::string_view key, std::int64_t low,
                 std::int64_t high, T& value) const {
        if (const toml::node* node = table.get(key)) {
            const auto* number = node->as_integer();
            if (number == nullptr || number->get() < low || number->get() > high) {
                fail(*node, quoted(key) + " must be an integer from " + std::to_string(low) +
                                " to " + std::to_string(high));
            }
            value = static_cast<T>(number->get());
        }
    }

    void bytes(const toml::table& table, std::string_view key, std::uint64_t& value) const {
        if (const toml::node* node = table.get(key)) {
            std::optional<std::uint64_t> size;
            if (const auto* text = node->as_string()) {
                size = parse_bytes(text->get());
            } else if (const auto* number = node->as_integer();
                       number != nullptr && number->get() > 0) {
                size = static_cast<std::uint64_t>(number->get());
            }
            if (!size) {
                fail(*node,
                     quoted(key) + " must be a size such as \"4 GiB\", \"512 MiB\" or bytes");
            }
            value = *size;
        }
    }

    void path(const toml::table& table, std::string_view key, std::string& value) const {
        string(table, key, value);
        if (const toml::node* node = table.get(key); node != nullptr && value.front() != '/') {
            fail(*node, quoted(key) + " must be an absolute path");
        }
    }

    static std::string quoted(std::string_view key) {
        return std::string("'").append(key).append("'");
    }

private:
    std::string_view file_;
};

const toml::node& place(const toml::table& table, std::string_view key) {
    const toml::node* node = table.get(key);
    return node != nullptr ? *node : table;
}

bool good_name(std::string_view name) {
    return name.size() <= 64 && std::ranges::all_of(name, [](char c) {
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

void read_devices(const Reader& reader, const toml::table& table, VmConfig& vm) {
    const toml::node* node = table.get("devices");
    if (node == nullptr) {
        return;
    }
    const toml::array* list = node->as_array();
    if (list == nullptr || list->empty() || list->size() > kMaxDevices) {
        reader.fail(*node, "'devices' must be a list of 1 to " + std::to_string(kMaxDevices) +
                               " indices or UUIDs");
    }
    for (const toml::node& entry : *list) {
        if (const auto* index = entry.as_integer(); index != nullptr && index->get() >= 0) {
            vm.devices.push_back(std::to_string(index->get()));
        } else if (const auto* uuid = entry.as_string();
                   uuid != nullptr && good_uuid(uuid->get())) {
            vm.devices.push_back(uuid->get());
        } else {
            reader.fail(entry, "a device is an index from 0, or \"GPU-…\" or \"MIG-…\"");
        }
        // The driver itself reads the list, and it knows lists of one kind only.
        const bool first_is_index = list->front().is_integer();
        if (entry.is_integer() != first_is_index) {
            reader.fail(entry, "'devices' names either indices or UUIDs, not both");
        }
    }
}

VmConfig read_vm(const Reader& reader, const toml::table& table) {
    reader.only(table, "[[vm]]",
                {"name", "socket", "socket_mode", "socket_group", "bar", "channels", "sessions",
                 "memory", "devices", "priority"});
    VmConfig vm;
    reader.string(table, "name", vm.name);
    if (vm.name.empty()) {
        reader.fail(table, "a [[vm]] needs a 'name'");
    }
    if (!good_name(vm.name)) {
        reader.fail(place(table, "name"), "'name' may have 64 letters, digits and '-', '_', '.'");
    }
    reader.path(table, "socket", vm.socket);
    if (vm.socket.empty()) {
        reader.fail(table, "VM " + vm.name + " needs a 'socket'");
    }
    if (vm.socket.size() >= sizeof(sockaddr_un::sun_path)) {
        reader.fail(place(table, "socket"), "'socket' is longer than a socket's path may be");
    }
    reader.integer(table, "socket_mode", 0, 0777, vm.socket_mode);
    reader.string(table, "socket_group", vm.socket_group);
    reader.bytes(table, "bar", vm.bar_bytes);
    reader.integer(table, "channels", 1, static_cast<std::int64_t>(kMaxChannels), vm.channels);
    vm.sessions = vm.channels;
    reader.integer(table, "sessions", 1, static_cast<std::int64_t>(kMaxChannels), vm.sessions);
    if (vm.sessions > vm.channels) {
        reader.fail(place(table, "sessions"),
                    "VM " + vm.name + " has fewer channels than sessions");
    }
    reader.bytes(table, "memory", vm.memory_quota);
    reader.integer(table, "priority", -20, 19, vm.priority);
    read_devices(reader, table, vm);
    if (!std::has_single_bit(vm.bar_bytes) || vm.bar_bytes > kMaxBarBytes) {
        reader.fail(place(table, "bar"), "'bar' must be a power of two, at most 1 TiB");
    }
    if (vm.bar_bytes < smallest_bar(vm.channels)) {
        reader.fail(place(table, "bar"),
                    "'bar' of " + std::to_string(vm.bar_bytes >> 20) + " MiB is too small for " +
                        std::to_string(vm.channels) + " channels: at least " +
                        std::to_string(smallest_bar(vm.channels) >> 20) + " MiB");
    }
    return vm;
}

void read_host(const Reader& reader, const toml::table& table, Config& config) {
    reader.only(table, "[host]", {"gpu", "driver", "runtime_directory", "descriptor_store"});
    std::string word;
    reader.string(table, "gpu", word);
    if (!word.empty() && !parse_gpu(word, config.gpu)) {
        reader.fail(place(table, "gpu"), "'gpu' must be auto, soft, nvidia or null");
    }
    reader.path(table, "driver", config.driver);
    reader.path(table, "runtime_directory", config.runtime_directory);
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
        reader.fail(place(table, "descriptor_store"),
                    "'descriptor_store' must be auto, systemd, keeper or none");
    }
    config.descriptor_store = choice->second;
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
    const Reader reader(file_name);
    Config config;
    reader.only(root, "the file", {"host", "workers", "vm"});
    if (const toml::table* host = reader.table(root, "host")) {
        read_host(reader, *host, config);
    }
    if (const toml::table* workers = reader.table(root, "workers")) {
        reader.only(*workers, "[workers]", {"first_uid", "group"});
        reader.integer(*workers, "first_uid", 1, 0xffff'ffff - 65536, config.first_worker_uid);
        reader.string(*workers, "group", config.worker_group);
    }
    const toml::node* vms = root.get("vm");
    if (vms == nullptr) {
        throw ConfigError(std::string(file_name) + ": no [[vm]] is configured");
    }
    if (!vms->is_array_of_tables()) {
        reader.fail(*vms, "VMs are written as [[vm]]");
    }
    std::set<std::string> names;
    std::set<std::string> sockets;
    for (const toml::node& node : *vms->as_array()) {
        VmConfig vm = read_vm(reader, *node.as_table());
        if (!names.insert(vm.name).second) {
            reader.fail(node, "two VMs have the name '" + vm.name + "'");
        }
        if (!sockets.insert(vm.socket).second) {
            reader.fail(node, "two VMs have the socket '" + vm.socket + "'");
        }
        config.vms.push_back(std::move(vm));
    }
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
