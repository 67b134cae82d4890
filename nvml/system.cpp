// SPDX-License-Identifier: Apache-2.0
// Begin, end, versions and words.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "cubar/described_version.h"
#include "nvml/functions.h"
#include "nvml/library.h"
#include "transport/descriptor.h"

namespace cubar::nvml {
namespace {

/// "580.65.06" of the host's NVIDIA driver. The software GPU has no such number: it says the branch
/// that came with the CUDA version that it has, since programs ask for a least branch by it.
std::string_view driver_version(const Facts& facts) {
    constexpr std::string_view kNvidia = "NVIDIA ";
    const std::string_view words(facts.host_driver,
                                 strnlen(facts.host_driver, sizeof facts.host_driver));
    if (words.starts_with(kNvidia)) {
        return words.substr(kNvidia.size());
    }
    return words.starts_with("cubar softgpu") ? "580.00" : std::string_view{};
}

/// Also of what only NVIDIA's NVML returns: a program may ask for the words of any number.
constexpr const char* kWords[] = {
    "Success",
    "Uninitialized",
    "Invalid Argument",
    "Not Supported",
    "Insufficient Permissions",
    "Already Initialized",
    "Not Found",
    "Insufficient Size",
    "Insufficient External Power",
    "Driver Not Loaded",
    "Timeout",
    "Interrupt Request Issue",
    "NVML Shared Library Not Found",
    "Function Not Found",
    "Corrupted infoROM",
    "GPU is lost",
    "GPU requires reset",
    "The operating system has blocked the request",
    "Driver/library version mismatch",
    "In use by another client",
    "Insufficient Memory",
    "No data",
    "vGPU ECC not supported",
    "Insufficient resources",
    "Frequency not supported",
    "Argument version mismatch",
    "Deprecated",
    "Not ready",
    "GPU not found",
    "Invalid state",
};

}  // namespace

NVML_API nvmlInit() {
    return initialise(true);
}
NVML_API nvmlInit_v2() {
    return initialise(false);
}
NVML_API nvmlInitWithFlags(unsigned flags) {
    if ((flags & ~(kInitNoGpus | kInitNoAttach | kInitForce)) != 0) {
        return Return::kInvalidArgument;
    }
    return initialise(false);
}
NVML_API nvmlShutdown() {
    return shut_down();
}

const char* nvmlErrorString(Return result) {
    const auto number = static_cast<std::size_t>(result);
    return number < std::size(kWords) ? kWords[number] : "Unknown Error";
}

NVML_API nvmlSystemGetDriverVersion(char* text, unsigned bytes) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    const std::string_view version = driver_version(*all);
    return version.empty() ? Return::kNotSupported : copy_text(version, text, bytes);
}

// NVML's own version is that of its interface and the driver's.
NVML_API nvmlSystemGetNVMLVersion(char* text, unsigned bytes) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    const std::string_view version = driver_version(*all);
    char own[80];
    std::snprintf(own, sizeof own, "13.%.*s", static_cast<int>(version.size()), version.data());
    return version.empty() ? Return::kNotSupported : copy_text(own, text, bytes);
}

// As libcuda's cuDriverGetVersion.
NVML_API nvmlSystemGetCudaDriverVersion(int* version) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    if (version == nullptr) {
        return Return::kInvalidArgument;
    }
    *version = std::min(static_cast<int>(all->driver_version), kDescribedVersion);
    return Return::kSuccess;
}
NVML_API nvmlSystemGetCudaDriverVersion_v2(int* version) {
    return nvmlSystemGetCudaDriverVersion(version);
}

NVML_API nvmlSystemGetProcessName(unsigned pid, char* name, unsigned bytes) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    if (name == nullptr || bytes == 0) {
        return Return::kInvalidArgument;
    }
    char path[40];
    std::snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    const transport::Descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
    char text[4096];
    const ssize_t length = file ? ::read(file.get(), text, sizeof text) : -1;
    if (length <= 0) {
        return Return::kNotFound;
    }
    // Its first word, cut to what the caller has room for, as NVML does.
    const std::size_t word = strnlen(text, static_cast<std::size_t>(length));
    return copy_text({text, std::min<std::size_t>(word, bytes - 1)}, name, bytes);
}

}  // namespace cubar::nvml
