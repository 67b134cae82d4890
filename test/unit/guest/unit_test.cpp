// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "guest/doctor/systemd_unit.h"
#include "made_up.h"

using namespace cubar::tools;

namespace {

constexpr const char* kUnit = "/etc/systemd/system/ollama.service";
constexpr const char* kName = "ollama.service";

std::string search_path(const MadeUp& system) {
    return read_unit(system.root(), kName).variable(system.root(), "LD_LIBRARY_PATH").value;
}

std::string drop_in(const char* directory, const char* file) {
    return std::string(directory) + "/systemd/system/ollama.service.d/" + file;
}

}  // namespace

TEST_CASE("The unit's file is the one of the first directory", "[unit]") {
    MadeUp system;
    CHECK(read_unit(system.root(), kName).fragment.empty());
    system.file("/usr/lib/systemd/system/ollama.service", "[Service]\nUser=a\n");
    CHECK(read_unit(system.root(), kName).list("User").front().value == "a");
    system.file(kUnit, "[Unit]\nUser=x\n[Service]\n# User=y\nUser=b\n");
    const SystemdUnit unit = read_unit(system.root(), kName);
    CHECK(unit.fragment == kUnit);
    REQUIRE(unit.list("User").size() == 1);
    CHECK(unit.list("User").front().value == "b");
}

TEST_CASE("Drop-ins count in the order of their names, wherever they lie", "[unit]") {
    MadeUp system;
    system.file(kUnit, "[Service]\nEnvironment=LD_LIBRARY_PATH=/unit\n");
    system.file(drop_in("/usr/lib", "50-cubar.conf"),
                "[Service]\nEnvironment=LD_LIBRARY_PATH=/cubar\n");
    CHECK(search_path(system) == "/cubar");
    system.file(drop_in("/etc", "10-early.conf"),
                "[Service]\nEnvironment=LD_LIBRARY_PATH=/early\n");
    CHECK(search_path(system) == "/cubar");
    system.file(drop_in("/etc", "override.conf"), "[Service]\nEnvironment=LD_LIBRARY_PATH=/late\n");
    CHECK(search_path(system) == "/late");
    system.remove(drop_in("/etc", "override.conf"));
    system.file(drop_in("/etc", "50-cubar.conf"), "");
    CHECK(search_path(system) == "/early");
    system.remove(drop_in("/etc", "50-cubar.conf"));
    system.link(drop_in("/run", "50-cubar.conf"), "/dev/null");
    CHECK(search_path(system) == "/early");
}

TEST_CASE("Environment is read as systemd reads it", "[unit]") {
    MadeUp system;
    const auto with = [&](const char* text) {
        system.file(kUnit, text);
        return search_path(system);
    };
    CHECK(with("[Service]\nEnvironment=\"A=1 2\" LD_LIBRARY_PATH=/a:/b\n") == "/a:/b");
    CHECK(with("[Service]\nEnvironment='LD_LIBRARY_PATH=/with blank' B=2\n") == "/with blank");
    CHECK(with("[Service]\nEnvironment=A=1 \\\n  LD_LIBRARY_PATH=/next\n") == "/next");
    CHECK(with("[Service]\nEnvironment=LD_LIBRARY_PATH=/a\nEnvironment=\n").empty());
    CHECK(with("[Service]\nEnvironment=X_LD_LIBRARY_PATH=/a\n").empty());
    system.file("/etc/default/ollama", "# none\nLD_LIBRARY_PATH=/file\n");
    CHECK(with("[Service]\nEnvironmentFile=-/etc/default/ollama\n"
               "Environment=LD_LIBRARY_PATH=/line\n") == "/file");
    CHECK(with("[Service]\nEnvironmentFile=-/etc/nowhere\n"
               "Environment=LD_LIBRARY_PATH=/line\n") == "/line");
}

TEST_CASE("An empty assignment forgets a list; a switch is its last word", "[unit]") {
    MadeUp system;
    system.file(kUnit,
                "[Service]\nExecStartPre=/a\nExecStartPre=\nExecStartPre=/b\n"
                "PrivateDevices=yes\nPrivateDevices=no\nProtectKernelTunables=true\n");
    const SystemdUnit unit = read_unit(system.root(), kName);
    REQUIRE(unit.list("ExecStartPre").size() == 1);
    CHECK(unit.list("ExecStartPre").front().value == "/b");
    CHECK_FALSE(unit.is_on("PrivateDevices"));
    CHECK(unit.is_on("ProtectKernelTunables"));
    CHECK_FALSE(unit.is_on("PrivateTmp"));
}

TEST_CASE("A masked unit is told apart from none", "[unit]") {
    MadeUp system;
    system.link(kUnit, "/dev/null");
    const SystemdUnit unit = read_unit(system.root(), kName);
    CHECK(unit.masked);
    CHECK(unit.settings.empty());
}
