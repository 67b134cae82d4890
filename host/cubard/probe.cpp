// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/probe.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace cubar::host {
namespace {

struct Pipe {
    transport::Descriptor read;
    transport::Descriptor write;
};

Pipe make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    return {transport::Descriptor(ends[0]), transport::Descriptor(ends[1])};
}

/// Appends what is there, up to `limit`. False at the end.
bool read_some(int fd, std::vector<std::byte>& bytes, std::size_t limit) {
    std::byte buffer[4096];
    const ssize_t length = ::read(fd, buffer, sizeof buffer);
    if (length <= 0) {
        return length < 0 && errno == EINTR;
    }
    const std::size_t room = limit - std::min(limit, bytes.size());
    bytes.insert(bytes.end(), buffer, buffer + std::min(room, static_cast<std::size_t>(length)));
    return true;
}

bool terminated(std::span<const char> text) {
    return std::ranges::find(text, '\0') != text.end();
}

gid_t group_id(const std::string& name) {
    if (name.empty()) {
        return 0;
    }
    const group* entry = ::getgrnam(name.c_str());
    if (entry == nullptr) {
        throw std::runtime_error("there is no group '" + name + "' ([workers] group)");
    }
    return entry->gr_gid;
}

}  // namespace

std::optional<ProbeReport> decode_report(std::span<const std::byte> bytes) {
    ProbeReport report;
    if (bytes.size() != sizeof report) {
        return std::nullopt;
    }
    std::memcpy(&report, bytes.data(), sizeof report);
    const Facts& facts = report.facts;
    if (facts.device_count > kMaxDevices || facts.driver_version < 1000 ||
        !terminated(facts.host_driver)) {
        return std::nullopt;
    }
    for (std::uint32_t ordinal = 0; ordinal < facts.device_count; ++ordinal) {
        const DeviceFacts& device = facts.device[ordinal];
        const bool flags_good = std::ranges::all_of(device.attribute_known,
                                                    [](std::uint8_t known) { return known <= 1; });
        if (!terminated(device.name) || device.total_bytes == 0 || !flags_good ||
            report.context_bytes[ordinal] >= device.total_bytes) {
            return std::nullopt;
        }
    }
    return report;
}

std::string printable(std::string_view text) {
    std::string result(text.substr(0, 400));
    for (char& c : result) {
        if (c == '\n' || c == '\t') {
            c = ' ';
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            c = '?';
        }
    }
    result.erase(result.find_last_not_of(' ') + 1);
    return result;
}

ProbeResult probe_driver(const WorkerProgram& program, const Isolation& isolation,
                         const std::vector<std::string>& devices, std::chrono::milliseconds limit) {
    Pipe facts = make_pipe();
    Pipe output = make_pipe();
    const Child child = spawn_worker(program, isolation,
                                     {.devices = devices,
                                      .probe = true,
                                      .descriptor = facts.write.get(),
                                      .output = output.write.get()});
    facts.write.reset();
    output.write.reset();
    std::vector<std::byte> bytes;
    std::vector<std::byte> said;
    pollfd ends[2] = {{facts.read.get(), POLLIN, 0}, {output.read.get(), POLLIN, 0}};
    const auto deadline = std::chrono::steady_clock::now() + limit;
    bool late = false;
    while ((ends[0].fd >= 0 || ends[1].fd >= 0) && !late) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        late = left.count() <= 0 || ::poll(ends, 2, static_cast<int>(left.count())) == 0;
        if (ends[0].revents != 0 && !read_some(facts.read.get(), bytes, sizeof(ProbeReport) + 1)) {
            ends[0].fd = -1;
        }
        if (ends[1].revents != 0 && !read_some(output.read.get(), said, 4096)) {
            ends[1].fd = -1;
        }
    }
    ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
    pollfd end{child.pidfd.get(), POLLIN, 0};
    while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
    }
    reap(child);
    ProbeResult result{.report = decode_report(bytes)};
    const std::size_t wanted = std::max<std::size_t>(devices.size(), 1);
    if (!result.report) {
        result.reason = late ? "the probe took too long"
                             : printable({reinterpret_cast<const char*>(said.data()), said.size()});
        if (result.reason.empty()) {
            result.reason = bytes.empty() ? "the probe ended without a word"
                                          : "the probe told impossible facts";
        }
    } else if (const std::uint32_t shown = result.report->facts.device_count; shown < wanted) {
        result.reason = "the driver shows " + std::to_string(shown) + " of the " +
                        std::to_string(wanted) + " devices";
        result.report.reset();
    }
    return result;
}

Places Places::find() {
    namespace fs = std::filesystem;
    const fs::path own = fs::read_symlink("/proc/self/exe");
    // The build tree has host/cubard/cubard; an installation has bin or sbin, with lib/cubar
    // beside.
    const fs::path build = own.parent_path().parent_path().parent_path();
    if (fs::exists(build / "host" / "cubard" / own.filename())) {
        return {build / "host/worker/cubar-worker", build / "host/cubard/cubar-keeper",
                build / "softgpu/libcuda.so.1"};
    }
    const fs::path lib = own.parent_path().parent_path() / "lib" / "cubar";
    return {lib / "cubar-worker", lib / "cubar-keeper", lib / "softgpu/libcuda.so.1"};
}

DriverChoice choose_driver(const Config& config, const Places& places) {
    WorkerProgram program{.path = places.worker,
                          .fences = config.fences,
                          .first_uid = config.first_worker_uid,
                          .group = group_id(config.worker_group)};
    const auto use = [&](Gpu gpu, const std::string& usual) {
        program.gpu = gpu;
        program.driver = config.driver.empty() ? usual : config.driver;
        return find_isolation(program);
    };
    std::string reason = "the configuration says so";
    if (!config.gpu || *config.gpu == Gpu::kNvidia) {
        Isolation isolation = use(Gpu::kNvidia, "libcuda.so.1");
        const ProbeResult probe = probe_driver(program, isolation, {});
        const bool nvidia =
            probe.report && std::string_view(probe.report->facts.host_driver).starts_with("NVIDIA");
        if (nvidia) {
            return {program, isolation, config.gpu ? reason : "it initialises"};
        }
        reason = probe.report ? "it is no driver of NVIDIA's" : probe.reason;
        if (config.gpu) {
            throw std::runtime_error(program.driver + " cannot be used: " + reason);
        }
        reason = "NVIDIA's " + program.driver + " cannot be used: " + reason;
    }
    const Gpu gpu = config.gpu.value_or(Gpu::kSoft);
    Isolation isolation = use(gpu, places.softgpu);
    const ProbeResult probe = probe_driver(program, isolation, {});
    if (!probe.report) {
        throw std::runtime_error(program.driver + " cannot be used: " + probe.reason);
    }
    return {program, isolation, reason};
}

}  // namespace cubar::host
