// SPDX-License-Identifier: Apache-2.0
// Stands where cubar-worker does: a worker without a driver, whose behaviour its arguments' driver
// path tells, so that cubard can be tested against good and bad ones.
//
//   …/good       says ready and waits; in the end it says what it did
//   …/refuses    refuses with kDriver
//   …/slow       never says that it is ready
//   …/offended   says ready, then that the guest broke the protocol
//   …/dies       says ready, then ends with code 3
//   …/stubborn   as good, but does not end when it is told to
//   …/babbles    says ready, then what no worker says
//   …/greedy     charges 100 bytes until the quota is reached, then says ready
//   …/keeps      writes into its compile cache, as a driver does, who it is and what it was told
//   …/hoards     fills its compile cache until it is ended
//   …/no-driver  a probe that fails

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "cubar/layout.h"
#include "host/common/control_client.h"
#include "host/common/probe_report.h"
#include "host/common/worker_arguments.h"

namespace {

using namespace cubar::host;

int probe(const WorkerArguments& arguments) {
    if (arguments.driver.ends_with("no-driver")) {
        constexpr std::string_view kReason = "no driver is here\n";
        return ::write(STDERR_FILENO, kReason.data(), kReason.size()) < 0 ? 2 : 1;
    }
    ProbeReport report{};
    cubar::Facts& facts = report.facts;
    facts.driver_version = 13000;
    facts.device_count = 1;
    std::strcpy(facts.host_driver, arguments.gpu == Gpu::kNvidia ? "NVIDIA fake" : "fake");
    std::strcpy(facts.device[0].name, "Fake GPU");
    facts.device[0].total_bytes = std::uint64_t{4} << 30;
    report.context_bytes[0] = std::uint64_t{300} << 20;
    return ::write(arguments.output_fd, &report, sizeof report) == sizeof report ? 0 : 1;
}

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "(none)";
}

void keep(const WorkerArguments& arguments) {
    std::ofstream file(arguments.cache + "/kept", std::ios::app);
    file << ::geteuid() << ' ' << environment("CUDA_CACHE_PATH") << ' '
         << environment("CUDA_CACHE_MAXSIZE") << ' ' << environment("CUDA_CACHE_DISABLE") << '\n';
}

[[noreturn]] void hoard(const std::string& cache) {
    const std::string block(std::size_t{1} << 20, 'x');
    for (unsigned number = 0;; ++number) {
        std::ofstream(cache + "/" + std::to_string(number)) << block;
    }
}

}  // namespace

int main(int count, char** words) {
    const auto arguments = WorkerArguments::parse({words + 1, static_cast<std::size_t>(count - 1)});
    if (!arguments) {
        return 2;
    }
    if (arguments->probe) {
        return probe(*arguments);
    }
    if (arguments->telemetry) {
        return 0;  // this machine has no NVML
    }
    const std::string_view role = arguments->driver;
    cubar::transport::Descriptor socket(arguments->control_fd);
    const int raw = socket.get();
    ControlClient control(std::move(socket));
    const auto session = control.wait_for_assignment();
    if (!session) {
        return 1;
    }
    const bool stubborn = role.ends_with("stubborn");
    control.start([stubborn, &control] {
        if (!stubborn) {
            control.say_did(3, 2, std::uint64_t{5} << 20);
            ::_exit(0);
        }
    });
    if (role.ends_with("refuses")) {
        control.say_refused(cubar::SessionError::kDriver);
    }
    if (role.ends_with("greedy")) {
        while (control.charge(0, 100) == Verdict::kGranted) {
        }
    }
    if (role.ends_with("keeps")) {
        keep(*arguments);
    }
    if (!role.ends_with("refuses") && !role.ends_with("slow")) {
        control.say_ready();
    }
    if (role.ends_with("offended")) {
        control.say_refused(cubar::SessionError::kProtocolBroken);
    }
    if (role.ends_with("dies")) {
        ::_exit(3);
    }
    if (role.ends_with("hoards")) {
        hoard(arguments->cache);
    }
    if (role.ends_with("babbles")) {
        constexpr std::string_view kNonsense = "I am no worker";
        if (::write(raw, kNonsense.data(), kNonsense.size()) < 0) {
            return 1;
        }
    }
    for (;;) {
        ::pause();
    }
}
