// SPDX-License-Identifier: Apache-2.0
// A system on which all is well; then one thing after another is broken, and the doctor names it.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "guest/device_grant.h"
#include "guest/doctor/checks.h"
#include "guest/library_link.h"
#include "made_up.h"

using namespace cubar;
using namespace cubar::tools;

namespace {

constexpr const char* kDevice = "/sys/bus/pci/devices/0000:00:04.0";
constexpr const char* kUnit = "/etc/systemd/system/ollama.service";
constexpr const char* kDropIn = "/usr/lib/systemd/system/ollama.service.d/50-cubar.conf";

struct Patient {
    Patient() {
        describe_memory(header);
        device = system.device(header);
        grant_device(device, getegid());
        system.file("/etc/group", "root:x:0:\ncubar:x:" + std::to_string(getegid()) + ":\n");
        system.file("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        system.file(kGuestLibrary);
        system.file(path_in(CUBAR_LIBRARY_DIRECTORY, "libnvidia-ml.so.1"));
        system.file("/usr/local/lib/ollama/libggml-base.so");
        make_links(system.root(), {});
        system.file(kUnit, "[Service]\nUser=ollama\n");
        system.file(kDropIn, std::string("[Service]\nEnvironment=LD_LIBRARY_PATH=") +
                                 CUBAR_LIBRARY_DIRECTORY +
                                 "\nSupplementaryGroups=cubar\nExecStartPre=cubar-link make\n"
                                 "ExecStopPost=cubar-reap\n");
    }

    Report examine() {
        Report report;
        check_device(system.root(), report);
        const OllamaConfig config = read_ollama_config(system.root());
        check_libraries(system.root(), config, report);
        check_service(system.root(), config, report);
        return report;
    }

    /// The checks that are not good, and whether each says what to do.
    std::string complaints(Health health = Health::kBad) {
        std::string all;
        const Report report = examine();
        for (const Finding& finding : report.findings()) {
            if (finding.health == health) {
                all += finding.check + ";";
                CHECK_FALSE(finding.mend.empty());
            }
        }
        return all;
    }

    /// What to do about the last finding of a check.
    std::string mends(std::string_view check) {
        std::string mend;
        const Report report = examine();
        for (const Finding& finding : report.findings()) {
            if (finding.check == check) mend = finding.mend;
        }
        return mend;
    }

    void rewrite_header() { system.device(header), grant_device(device, getegid()); }

    MadeUp system;
    Header header{};
    std::string device;
};

}  // namespace

TEST_CASE("On a sound system all is well", "[doctor]") {
    Patient patient;
    const Report report = patient.examine();
    CHECK(report.all_well());
    CHECK(patient.complaints().empty());
    CHECK(patient.complaints(Health::kNote).empty());
    CHECK(report.findings().size() >= 10);
}

TEST_CASE("What is wrong with the device is named", "[doctor]") {
    Patient patient;
    SECTION("missing") {
        patient.system.remove(kDevice);
        CHECK(patient.complaints() == "device;");
    }
    SECTION("another use of shared memory") {
        patient.header.magic = 7;
        patient.rewrite_header();
        CHECK(patient.complaints() == "device;");
    }
    SECTION("not enabled") {
        patient.system.file(path_in(kDevice, "enable"), "0\n");
        CHECK(patient.complaints() == "enabled;");
    }
    SECTION("plugged, and never enabled: its memory reads as all ones") {
        restore_device(patient.device, getegid());
        patient.header.magic = ~std::uint64_t{0};
        patient.rewrite_header();
        CHECK(patient.complaints() == "enabled;permission;enabled;");
        CHECK(patient.mends("enabled").find("cubar-device add --all") != std::string::npos);
    }
    SECTION("not given to the group") {
        restore_device(patient.device, getegid());
        CHECK(patient.complaints() == "enabled;permission;");
    }
    SECTION("no room for its memory") {
        patient.system.remove(path_in(kDevice, "resource2"));
        CHECK(patient.complaints() == "permission;host;");
    }
    SECTION("no write-combining") {
        patient.system.remove(path_in(kDevice, "resource2_wc"));
        CHECK(patient.complaints().empty());
        CHECK(patient.complaints(Health::kNote) == "permission;");
    }
    SECTION("no group") {
        patient.system.file("/etc/group", "root:x:0:\n");
        CHECK(patient.complaints().starts_with("group;"));
    }
    SECTION("locked down") {
        patient.system.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        CHECK(patient.complaints() == "lockdown;");
    }
    SECTION("another version") {
        ++patient.header.layout_version;
        patient.rewrite_header();
        CHECK(patient.complaints() == "version;");
    }
    SECTION("nobody serves it") {
        patient.header.host_state.store(static_cast<std::uint32_t>(HostState::kStopping));
        patient.rewrite_header();
        CHECK(patient.complaints() == "host;");
    }
}

TEST_CASE("How the memory is mapped is told, with what it costs", "[doctor]") {
    Report report;
    describe_memory(transport::MemoryType::kWriteBack, report);
    describe_memory(transport::MemoryType::kWriteCombining, report);
    CHECK(report.all_well());
    const std::vector<Finding>& told = report.findings();
    REQUIRE(told.size() == 2);
    CHECK(told[0].health == Health::kGood);
    CHECK(told[0].says.starts_with("write-back:"));
    CHECK(told[1].health == Health::kNote);
    CHECK(told[1].says.find("copies each transfer once more") != std::string::npos);
    CHECK_FALSE(told[1].mend.empty());
}

TEST_CASE("What is wrong with ollama's side is named", "[doctor]") {
    Patient patient;
    SECTION("no library") {
        patient.system.remove(kGuestLibrary);
        CHECK(patient.complaints() == "library;");
    }
    SECTION("no library for monitors") {
        patient.system.remove(path_in(CUBAR_LIBRARY_DIRECTORY, "libnvidia-ml.so.1"));
        CHECK(patient.complaints().empty());
        CHECK(patient.complaints(Health::kNote) == "library;");
    }
    SECTION("no ollama") {
        patient.system.remove("/usr/local/lib/ollama");
        CHECK(patient.complaints() == "ollama;");
    }
    SECTION("no link") {
        patient.system.remove("/usr/local/lib/ollama/libcuda.so.1");
        CHECK(patient.complaints() == "link;");
    }
    SECTION("somebody else's library at the link's place") {
        patient.system.remove("/usr/local/lib/ollama/libcuda.so.1");
        patient.system.file("/usr/local/lib/ollama/libcuda.so.1", "NVIDIA's");
        CHECK(patient.complaints() == "link;");
    }
    SECTION("another libcuda beside it") {
        patient.system.file("/usr/local/lib/ollama/libcuda.so.570.1");
        CHECK(patient.complaints() == "another libcuda;");
    }
    SECTION("another libcuda in a variant's directory") {
        patient.system.file("/usr/local/lib/ollama/cuda_v13/libcuda.so.1");
        CHECK(patient.complaints() == "another libcuda;");
    }
    SECTION("another libcuda on the system") {
        patient.system.file("/usr/lib/x86_64-linux-gnu/libcuda.so.1");
        CHECK(patient.complaints().empty());
        CHECK(patient.complaints(Health::kNote) == "another libcuda;");
    }
    SECTION("a configuration that means nothing") {
        patient.system.file(kOllamaConfig, "directories = /x\n");
        CHECK(patient.complaints() == "configuration;");
    }
}

TEST_CASE("What is wrong with the service is named", "[doctor]") {
    Patient patient;
    const std::string late = "/etc/systemd/system/ollama.service.d/override.conf";
    SECTION("a drop-in that sets another search path") {
        patient.system.file(late, "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt\n");
        CHECK(patient.complaints() == "service;");
    }
    SECTION("another libcuda earlier in the search path") {
        patient.system.file("/opt/libcuda.so.1");
        patient.system.file(late, std::string("[Service]\nEnvironment=LD_LIBRARY_PATH=/opt:") +
                                      CUBAR_LIBRARY_DIRECTORY + "\n");
        CHECK(patient.complaints() == "another libcuda;");
    }
    SECTION("our drop-in masked") {
        patient.system.link("/etc/systemd/system/ollama.service.d/50-cubar.conf", "/dev/null");
        CHECK(patient.complaints() == "service;service;");
        CHECK(patient.complaints(Health::kNote) == "service;service;");
    }
    SECTION("the group taken away, but the user is a member") {
        patient.system.file(late, "[Service]\nSupplementaryGroups=\n");
        CHECK(patient.complaints() == "service;");
        patient.system.file("/etc/group",
                            "cubar:x:" + std::to_string(getegid()) + ":other,ollama\n");
        CHECK(patient.complaints().empty());
    }
    SECTION("a sandbox that hides sysfs") {
        patient.system.file(late, "[Service]\nProtectKernelTunables=yes\n");
        CHECK(patient.complaints() == "service;");
    }
    SECTION("no service") {
        patient.system.remove(kUnit);
        CHECK(patient.complaints().empty());
        CHECK(patient.complaints(Health::kNote) == "service;");
    }
}
