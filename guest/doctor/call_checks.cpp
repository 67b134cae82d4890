// SPDX-License-Identifier: Apache-2.0
#include <cuda.h>
#include <dlfcn.h>

#include <cstdlib>

#include "guest/doctor/checks.h"
#include "transport/channel.h"
#include "transport/wait.h"

namespace cubar::tools {

namespace {

using transport::Error;
using transport::Failure;

constexpr const char* kMendQuota =
    "end a program that uses the GPU, or give this VM a larger quota, on the host: cubarctl usage, "
    "and the VM's `memory` in cubard's configuration";

std::string in_gib(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
    return text;
}

std::string mend(Error error) {
    switch (error) {
        case Error::kClaimTimeout:
        case Error::kHostSilent:
        case Error::kHostAbsent:
            return "on the host: systemctl restart cubard; its log says why it was silent";
        case Error::kQuota:
            return "end a program that uses the GPU, or allow this VM more sessions, on the host: "
                   "cubarctl sessions, and the VM's `sessions` in cubard's configuration";
        case Error::kAllChannelsTaken:
            return "end a program that uses the GPU: each takes one channel. cubar-reap releases "
                   "those of dead ones";
        case Error::kProtocol:
        case Error::kLayoutVersion:
            return "install cubar-ollama here and cubar-host on the host in the same version";
        case Error::kHostDriver:
            return "on the host: cubard's log says why the CUDA driver did not start";
        case Error::kNotPermitted:
            return "run cubar-doctor as root, or join the group: usermod -aG cubar USER, and log "
                   "in "
                   "again";
        default:
            return "on the host: see cubard's log";
    }
}

void tell(const char* check, const Failure& failure, Report& report) {
    report.bad(check, std::string(describe(failure.error)) + ": " + failure.detail,
               mend(failure.error));
}

void describe_host(const transport::Device& device, Report& report) {
    const Facts& facts = device.facts();
    if (facts.device_count == 0) {
        report.bad("host", std::string(facts.host_driver) + ", and no GPU for this VM",
                   "on the host: give this VM a GPU in cubard's configuration");
        return;
    }
    for (std::uint32_t i = 0; i < facts.device_count; ++i) {
        report.good("host", std::string(facts.host_driver) + ", GPU " + std::to_string(i) + ": " +
                                facts.device[i].name + ", " + in_gib(facts.device[i].total_bytes));
    }
}

bool check_session(transport::Device& device, Report& report) {
    const transport::Nanoseconds start = transport::now();
    const auto channel = transport::Channel::open(device);
    if (!channel) {
        tell("session", channel.failure(), report);
        return false;
    }
    report.good("session",
                "began after " + std::to_string((transport::now() - start) / 1'000'000) + " ms");
    return true;
}

/// NVIDIA's names for the library's functions, looked up as ollama does.
struct Library {
    explicit Library(const std::string& path) : file(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {}

    template <typename Function>
    bool find(const char* name, Function& function) const {
        function = reinterpret_cast<Function>(dlsym(file, name));
        return function != nullptr;
    }

    void* file;
};

void check_first_calls(const std::string& path, Report& report) {
    const Library library(path);
    if (library.file == nullptr) {
        report.bad("first call", dlerror(), "install the package cubar-ollama again");
        return;
    }
    CUresult (*init)(unsigned) = nullptr;
    CUresult (*retain)(CUcontext*, CUdevice) = nullptr;
    CUresult (*set_current)(CUcontext) = nullptr;
    CUresult (*memory)(std::size_t*, std::size_t*) = nullptr;
    CUresult (*release)(CUdevice) = nullptr;
    CUresult (*name_of)(CUresult, const char**) = nullptr;
    if (!library.find("cuInit", init) || !library.find("cuDevicePrimaryCtxRetain", retain) ||
        !library.find("cuCtxSetCurrent", set_current) || !library.find("cuMemGetInfo_v2", memory) ||
        !library.find("cuDevicePrimaryCtxRelease_v2", release) ||
        !library.find("cuGetErrorName", name_of)) {
        report.bad("first call", path + " is no CUDA driver", "install cubar-ollama again");
        return;
    }
    const transport::Nanoseconds start = transport::now();
    const char* call = "cuInit";
    CUresult result = init(0);
    CUcontext context = nullptr;
    if (result == CUDA_SUCCESS) {
        call = "cuDevicePrimaryCtxRetain";
        result = retain(&context, 0);
    }
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    if (result == CUDA_SUCCESS) {
        call = "cuMemGetInfo";
        set_current(context);
        result = memory(&free_bytes, &total_bytes);
        release(0);
    }
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        report.bad("quota", std::string("no device memory is left for what ") + call + " needs",
                   kMendQuota);
        return;
    }
    if (result != CUDA_SUCCESS) {
        const char* name = nullptr;
        name_of(result, &name);
        report.bad("first call", std::string(call) + " answers " + (name != nullptr ? name : "?"),
                   result == CUDA_ERROR_NO_DEVICE
                       ? "see whether CUDA_VISIBLE_DEVICES hides the GPU"
                       : "CUBAR_LOG=stderr cubar-doctor tells more; so does cubard's log");
        return;
    }
    report.good("first call", "answered " + std::to_string((transport::now() - start) / 1'000'000) +
                                  " ms after cuInit began: " + in_gib(free_bytes) + " of " +
                                  in_gib(total_bytes) + " are free");
    if (free_bytes == 0) {
        report.bad("quota", "no device memory is left for this VM", kMendQuota);
    }
}

}  // namespace

void describe_memory(transport::MemoryType type, Report& report) {
    if (type == transport::MemoryType::kWriteBack) {
        report.good("memory type", "write-back: the GPU works on pinned memory, nothing is copied");
        return;
    }
    report.note("memory type",
                "write-combining: reads of the device are slow, so pinned memory is ordinary "
                "memory, and the CPU copies each transfer once more",
                "nothing in this VM changes it: it is so on hosts with AMD's processors");
}

void check_calls(const std::string& selection, const std::string& library, Report& report) {
    auto device = transport::open_device(selection.c_str());
    if (!device) {
        tell("host", device.failure(), report);
        return;
    }
    describe_host(**device, report);
    describe_memory((*device)->memory_type(), report);
    if (check_session(**device, report)) {
        check_first_calls(library, report);
    }
}

}  // namespace cubar::tools
