// SPDX-License-Identifier: Apache-2.0
#include "made_up.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

namespace cubar::tools {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kFactsBytes = (sizeof(Facts) + kPageBytes - 1) / kPageBytes * kPageBytes;
constexpr std::uint64_t kFactsOffset = kPageBytes;
constexpr std::uint64_t kChannelsOffset = kGranuleBytes;
constexpr std::uint64_t kBarBytes = 3 * kGranuleBytes;

}  // namespace

MadeUp::MadeUp() {
    char name[] = "/tmp/cubar-made-up-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    root_.directory = name;
    directory("/var/lib");
}

MadeUp::~MadeUp() {
    std::error_code ignored;
    fs::remove_all(root_.directory, ignored);
}

void MadeUp::directory(std::string_view path) {
    fs::create_directories(root_(path));
}

void MadeUp::file(std::string_view path, std::string_view text) {
    fs::create_directories(fs::path(root_(path)).parent_path());
    std::ofstream(root_(path), std::ios::binary) << text;
}

void MadeUp::link(std::string_view path, std::string_view target) {
    fs::create_directories(fs::path(root_(path)).parent_path());
    fs::create_symlink(target, root_(path));
}

void MadeUp::remove(std::string_view path) {
    fs::remove_all(root_(path));
}

bool MadeUp::has(std::string_view path) const {
    return fs::exists(fs::symlink_status(root_(path)));
}

std::string MadeUp::target(std::string_view path) const {
    return fs::is_symlink(root_(path)) ? fs::read_symlink(root_(path)).string() : std::string();
}

std::string MadeUp::text(std::string_view path) const {
    return read_text(root_(path)).value_or("(unreadable)");
}

unsigned MadeUp::mode(std::string_view path) const {
    struct stat status {};
    REQUIRE(stat(root_(path).c_str(), &status) == 0);
    return status.st_mode & 07777;
}

std::string MadeUp::device(const Header& header, std::string_view address) {
    const std::string place = "/sys/bus/pci/devices/" + std::string(address);
    file(place + "/vendor", "0x1af4\n");
    file(place + "/device", "0x1110\n");
    file(place + "/enable", "0\n");
    file(place + "/config", std::string(64, '\0'));
    file(place + "/resource0", std::string(kPageBytes, '\0'));
    const auto facts = std::make_unique<Facts>();
    facts->device_count = 1;
    std::string memory(kFactsOffset, '\0');
    std::memcpy(memory.data(), &header, sizeof header);
    memory.append(reinterpret_cast<const char*>(facts.get()), sizeof *facts);
    for (const char* name : {"/resource2", "/resource2_wc"}) {
        file(place + name, memory);
        fs::resize_file(root_(place + name), kBarBytes);
    }
    for (const char* name : {"/resource0", "/resource2", "/resource2_wc"}) {
        fs::permissions(root_(place + name), fs::perms::owner_read | fs::perms::owner_write);
    }
    return root_(place);
}

void describe_memory(Header& header) {
    header.magic = kMagic;
    header.layout_version = kLayoutVersion;
    header.protocol_version = kProtocolVersion;
    header.bar_bytes = kBarBytes;
    header.facts_offset = kFactsOffset;
    header.facts_bytes = kFactsBytes;
    header.channels_offset = kChannelsOffset;
    header.channel_stride = sizeof(Channel);
    header.channel_count = 1;
    header.granule_bytes = kGranuleBytes;
    header.arena_offset = kChannelsOffset + sizeof(Channel);
    header.arena_bytes = kGranuleBytes;
    header.epoch.store(1);
    header.host_state.store(static_cast<std::uint32_t>(HostState::kServing));
}

}  // namespace cubar::tools
