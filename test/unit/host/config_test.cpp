// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/config.h"

#include <catch2/catch.hpp>
#include <string>

#include "host/cubard/memory_plan.h"

namespace cubar::host {
namespace {

std::string error_of(const std::string& text) {
    try {
        Config::parse(text, "cubard.toml");
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

std::string vm(const std::string& more) {
    return "[[vm]]\nname = \"a\"\nsocket = \"/run/cubar/a\"\n" + more + "\n";
}

TEST_CASE("a whole configuration is read") {
    const Config config = Config::parse(
        "[host]\ngpu = \"soft\"\nruntime_directory = \"/run/x\"\ndescriptor_store = \"keeper\"\n"
        "cache_directory = \"/c\"\n[workers]\nfirst_uid = 100000\n" +
            vm("bar = \"256 MiB\"\nchannels = 8\nsessions = 3\nmemory = \"2GiB\"\n"
               "devices = [1, 0]\npriority = 5\nsocket_mode = 0o600\n"
               "compile_cache = \"512 MiB\""),
        "cubard.toml");
    CHECK(config.gpu == Gpu::kSoft);
    CHECK(config.runtime_directory == "/run/x");
    CHECK(config.descriptor_store == StoreChoice::kKeeper);
    CHECK(config.first_worker_uid == 100000);
    REQUIRE(config.vms.size() == 1);
    const VmConfig& vm = config.vms.front();
    CHECK(vm.bar_bytes == 256u << 20);
    CHECK(vm.channels == 8);
    CHECK(vm.sessions == 3);
    CHECK(vm.memory_quota == std::uint64_t{2} << 30);
    CHECK(vm.devices == std::vector<std::string>{"1", "0"});
    CHECK(vm.priority == 5);
    CHECK(vm.socket_mode == 0600);
    CHECK(config.cache_directory == "/c");
    CHECK(vm.compile_cache == 512u << 20);
    CHECK_FALSE(vm.local);
}

TEST_CASE("each mistake is named with file and line") {
    const auto [text, message] = GENERATE(table<std::string, std::string>({
        {"[[vm]\n", "cubard.toml:1: "},
        {"colour = 1\n" + vm(""), "cubard.toml:1: unknown key 'colour' in the file"},
        {vm("bars = 1"), "cubard.toml:4: unknown key 'bars' in [[vm]]"},
        {"[host]\ngpus = 1\n" + vm(""), "cubard.toml:2: unknown key 'gpus' in [host]"},
        {"[host]\ngpu = \"best\"\n" + vm(""), "cubard.toml:2: 'gpu' must be auto"},
        {"[host]\ngpu = 3\n" + vm(""), "cubard.toml:2: 'gpu' must be a string"},
        {"[host]\ndriver = \"libcuda.so\"\n" + vm(""),
         "cubard.toml:2: 'driver' must be an absolute"},
        {"host = 1\n" + vm(""), "cubard.toml:1: 'host' must be a table"},
        {"[workers]\nfirst_uid = 0\n" + vm(""), "cubard.toml:2: 'first_uid' must be an integer"},
        {"vm = 3", "cubard.toml:1: VMs are written as [[vm]]"},
        {"[[vm]]\nsocket = \"/a\"\n", "cubard.toml:1: a [[vm]] needs a 'name'"},
        {"[[vm]]\nname = \"a\"\n", "cubard.toml:1: VM a needs a 'socket'"},
        {"[[vm]]\nname = \"a b\"\nsocket = \"/a\"\n", "cubard.toml:2: 'name' may have"},
        {"[[vm]]\nname = \"..\"\nsocket = \"/a\"\n", "cubard.toml:2: 'name' may have"},
        {"[[vm]]\nname = \"a\"\nsocket = \"/run/cubar/control\"\n",
         "cubard.toml:1: VM a has the socket that cubarctl uses"},
        {"[[vm]]\nname = \"a\"\nsocket = \"a\"\n", "cubard.toml:3: 'socket' must be an absolute"},
        {"[[vm]]\nname = \"a\"\nsocket = \"/" + std::string(120, 'x') + "\"\n",
         "cubard.toml:3: 'socket' is longer"},
        {vm("bar = \"3 MiB\""), "cubard.toml:4: 'bar' must be a power of two"},
        {vm("bar = \"32 MiB\""),
         "cubard.toml:4: 'bar' of 32 MiB is too small for 16 channels: at "
         "least 64 MiB"},
        {vm("bar = \"big\""), "cubard.toml:4: 'bar' must be a size"},
        {vm("channels = 65"), "cubard.toml:4: 'channels' must be an integer from 1 to 64"},
        {vm("channels = 4\nsessions = 5"), "cubard.toml:5: VM a has fewer channels than sessions"},
        {vm("memory = 0"), "cubard.toml:4: 'memory' must be a size"},
        {vm("devices = []"), "cubard.toml:4: 'devices' must be a list"},
        {vm("devices = [-1]"), "cubard.toml:4: a device is an index"},
        {vm("devices = [0, \"GPU-12\"]"), "cubard.toml:4: 'devices' names either"},
        {vm("devices = [\"GPU-1,2\"]"), "cubard.toml:4: a device is an index"},
        {vm("compile_cache = \"1 MiB\""), "cubard.toml:4: 'compile_cache' must be at least 16 MiB"},
        {vm("compile_cache = \"no\""), "cubard.toml:4: 'compile_cache' must be a size"},
        {vm("priority = 99"), "cubard.toml:4: 'priority' must be an integer from -20 to 19"},
        {vm("") + vm(""), "cubard.toml:5: two VMs have the name 'a'"},
        {vm("") + "[[vm]]\nname = \"b\"\nsocket = \"/run/cubar/a\"\n",
         "cubard.toml:5: two VMs have the socket"},
    }));
    CAPTURE(text);
    CHECK_THAT(error_of(text), Catch::StartsWith(message));
}

TEST_CASE("all mistakes are told at once, by line") {
    CHECK(error_of("[host]\ngpu = 3\ncolour = 1\n[workers]\nfirst_uid = 0\n" +
                   vm("bar = \"3 MiB\"\npriority = 99")) ==
          "cubard.toml:2: 'gpu' must be a string\n"
          "cubard.toml:3: unknown key 'colour' in [host]\n"
          "cubard.toml:5: 'first_uid' must be an integer from 1 to 4294901759\n"
          "cubard.toml:9: 'bar' must be a power of two, at most 1 TiB\n"
          "cubard.toml:10: 'priority' must be an integer from -20 to 19");
}

TEST_CASE("without a VM there is nothing to serve, and nothing wrong") {
    CHECK(Config::parse("", "cubard.toml").vms.empty());
}

TEST_CASE("a VM can do without a compile cache") {
    CHECK(Config::parse(vm(""), "cubard.toml").vms.front().compile_cache != 0);
    CHECK(Config::parse(vm("compile_cache = \"none\""), "cubard.toml").vms.front().compile_cache ==
          0);
}

TEST_CASE("sizes") {
    CHECK(parse_bytes("1") == 1);
    CHECK(parse_bytes("4 GiB") == std::uint64_t{4} << 30);
    CHECK_FALSE(parse_bytes("0"));
    CHECK_FALSE(parse_bytes("-1"));
    CHECK_FALSE(parse_bytes("4 GB"));
    CHECK_FALSE(parse_bytes("99999999999 TiB"));
    CHECK_FALSE(parse_bytes(""));
}

TEST_CASE("the smallest BAR is one in which all parts fit") {
    for (std::uint32_t channels = 1; channels <= kMaxChannels; ++channels) {
        const MemoryPlan plan{smallest_bar(channels), channels};
        CHECK(plan.arena_bytes() >= kMinArenaBytes);
        CHECK(MemoryPlan{smallest_bar(channels) / 2, channels}.arena_offset() + kMinArenaBytes >
              smallest_bar(channels) / 2);
    }
}

}  // namespace
}  // namespace cubar::host
