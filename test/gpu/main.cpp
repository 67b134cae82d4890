// SPDX-License-Identifier: Apache-2.0
// Probes every assumption that cubar makes about a CUDA driver, each in a process of its own, and
// prints TAP with what it saw:
//     gpu-probe LIBRARY [--on nvidia|soft|cubar] [--only TEXT] [--list]
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "test/gpu/driver.h"
#include "test/gpu/probe.h"

namespace cubar::probe {

void Report::observe(std::string_view text) {
    if (text.empty()) return;
    if (!observed_.empty()) observed_ += "; ";
    observed_ += text;
}

void Report::expect(bool holds, std::string_view text) {
    if (!holds) holds_ = false;
    observe(holds ? std::string(text) : "NOT AS EXPECTED: " + std::string(text));
}

namespace {

constexpr int kProbeLimitMs = 60'000;
constexpr int kReportFd = 3;

std::vector<Probe> all_probes() {
    std::vector<Probe> all;
    for (const auto& some : {process_probes(), memory_probes(), address_probes(), pool_probes(),
                             fence_probes(), queue_probes(), copy_probes(), stream_probes(),
                             launch_probes(), fault_probes(), output_probes()})
        all.insert(all.end(), some.begin(), some.end());
    return all;
}

bool is_asked(Asked asked, std::string_view on) {
    if (on == "cubar") return asked == Asked::kEverywhere;
    return on == "nvidia" || asked != Asked::kNvidia;
}

/// The child: one probe, its report through kReportFd as '+' or '-' and the text.
int run_here(const Probe& probe, const std::string& library) {
    Report report;
    try {
        load_driver(library);
        probe.run(report);
    } catch (const std::exception& error) {
        report.expect(false, error.what());
    }
    const std::string text = (report.holds() ? "+" : "-") + report.observed();
    const bool written =
        ::write(kReportFd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    std::fflush(nullptr);
    // Whatever a broken assumption left behind in the driver shall not hold up the end.
    ::_exit(written ? 0 : 1);
}

struct Outcome {
    bool holds = false;
    std::string observed;
    std::string output;  ///< of the process, stdout and stderr
    double seconds = 0;
};

std::string read_all(int fd) {
    std::string text;
    char part[4096];
    ::lseek(fd, 0, SEEK_SET);
    for (ssize_t length; (length = ::read(fd, part, sizeof part)) > 0;)
        text.append(part, static_cast<std::size_t>(length));
    return text;
}

Outcome run_apart(const Probe& probe, const std::string& library) {
    const int report = ::memfd_create("report", MFD_CLOEXEC);
    const int output = ::memfd_create("output", MFD_CLOEXEC);
    const auto begin = std::chrono::steady_clock::now();
    const pid_t child = ::fork();
    if (child == 0) {
        // A group of its own, so that what a probe starts ends with it.
        ::setpgid(0, 0);
        ::dup2(output, STDOUT_FILENO);
        ::dup2(output, STDERR_FILENO);
        if (report == kReportFd)
            ::fcntl(report, F_SETFD, 0);
        else
            ::dup2(report, kReportFd);
        ::execl("/proc/self/exe", "gpu-probe", library.c_str(), "--one", probe.name, nullptr);
        ::_exit(127);
    }
    Outcome outcome;
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    pollfd end{pidfd, POLLIN, 0};
    const bool in_time = ::poll(&end, 1, kProbeLimitMs) > 0;
    ::kill(-child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(pidfd);
    outcome.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const std::string text = read_all(report);
    outcome.output = read_all(output);
    ::close(report);
    ::close(output);
    if (!text.empty()) {
        outcome.holds = text[0] == '+';
        outcome.observed = text.substr(1);
    } else if (!in_time) {
        outcome.observed = "no end within " + std::to_string(kProbeLimitMs / 1000) + " s";
    } else if (WIFSIGNALED(status)) {
        outcome.observed = std::string("killed: ") + ::strsignal(WTERMSIG(status));
    } else {
        outcome.observed = "ended with " + std::to_string(WEXITSTATUS(status)) + " and no report";
    }
    return outcome;
}

void print_lines(const char* title, const std::string& text) {
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        std::printf("#   %s%s\n", title, text.substr(begin, end - begin).c_str());
        begin = end + 1;
    }
}

int run_all(const std::vector<Probe>& probes, const std::string& library) {
    std::printf("TAP version 13\n1..%zu\n", probes.size());
    std::size_t number = 0;
    std::size_t refuted = 0;
    for (const Probe& probe : probes) {
        const Outcome outcome = run_apart(probe, library);
        refuted += outcome.holds ? 0 : 1;
        std::printf("%s %zu - %s (%.2f s)\n", outcome.holds ? "ok" : "not ok", ++number, probe.name,
                    outcome.seconds);
        print_lines("assumed: ", probe.expected);
        print_lines("observed: ", outcome.observed);
        print_lines("design: ", probe.design);
        if (!outcome.holds) print_lines("printed: ", outcome.output);
        std::fflush(stdout);
    }
    std::printf("# %zu assumptions hold, %zu do not\n", probes.size() - refuted, refuted);
    return refuted == 0 ? 0 : 1;
}

int usage() {
    std::fprintf(stderr,
                 "usage: gpu-probe LIBRARY [--on nvidia|soft|cubar] [--only TEXT] [--list]\n");
    return 2;
}

int run(int argc, char** argv) {
    std::string library, on = "nvidia", only, one;
    bool list = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--list")
            list = true;
        else if (word == "--on" && i + 1 < argc)
            on = argv[++i];
        else if (word == "--only" && i + 1 < argc)
            only = argv[++i];
        else if (word == "--one" && i + 1 < argc)
            one = argv[++i];
        else if (library.empty() && !word.starts_with("--"))
            library = word;
        else
            return usage();
    }
    if ((library.empty() && !list) || (on != "nvidia" && on != "soft" && on != "cubar"))
        return usage();
    std::vector<Probe> chosen;
    for (const Probe& probe : all_probes()) {
        if (!one.empty() && one == probe.name) return run_here(probe, library);
        if (is_asked(probe.asked, on) &&
            std::string_view(probe.name).find(only) != std::string_view::npos)
            chosen.push_back(probe);
    }
    if (list) {
        for (const Probe& probe : chosen) std::printf("%s: %s\n", probe.name, probe.expected);
        return 0;
    }
    if (chosen.empty() || !one.empty()) {
        std::fprintf(stderr, "gpu-probe: there is no such probe\n");
        return 2;
    }
    return run_all(chosen, library);
}

}  // namespace
}  // namespace cubar::probe

int main(int argc, char** argv) {
    // A broken runner must not go unseen either.
    try {
        return cubar::probe::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gpu-probe: %s\n", error.what());
        return 2;
    }
}
