// SPDX-License-Identifier: Apache-2.0
#include "host/common/worker_arguments.h"

#include <charconv>
#include <string_view>

namespace cubar::host {
namespace {

constexpr std::string_view kGpu = "--gpu=";
constexpr std::string_view kDriver = "--driver=";
constexpr std::string_view kContextBytes = "--context-bytes=";
constexpr std::string_view kCache = "--cache=";
constexpr std::string_view kControlFd = "--control-fd=";
constexpr std::string_view kOutputFd = "--output-fd=";
constexpr std::string_view kProbe = "--probe";
constexpr std::string_view kTelemetry = "--telemetry";
constexpr std::string_view kNoFences = "--no-fences";

/// Numbers with commas between them.
bool parse_bytes_of_devices(std::string_view text, std::vector<std::uint64_t>& bytes) {
    for (;;) {
        const std::size_t comma = text.find(',');
        const std::string_view word = text.substr(0, comma);
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
        if (error != std::errc{} || end != word.data() + word.size()) {
            return false;
        }
        bytes.push_back(number);
        if (comma == std::string_view::npos) {
            return true;
        }
        text.remove_prefix(comma + 1);
    }
}

bool parse_fd(std::string_view text, int& fd) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
    return error == std::errc{} && end == text.data() + text.size() && fd >= 0;
}

}  // namespace

const char* gpu_name(Gpu gpu) {
    switch (gpu) {
        case Gpu::kSoft:
            return "soft";
        case Gpu::kNvidia:
            return "nvidia";
        case Gpu::kNull:
            return "null";
    }
    return "soft";
}

std::optional<Gpu> gpu_from_name(std::string_view name) {
    for (const Gpu gpu : {Gpu::kSoft, Gpu::kNvidia, Gpu::kNull}) {
        if (name == gpu_name(gpu)) {
            return gpu;
        }
    }
    return std::nullopt;
}

std::vector<std::string> WorkerArguments::to_strings() const {
    std::vector<std::string> words{std::string(kGpu) + gpu_name(gpu),
                                   std::string(kDriver) + driver};
    if (!fences) {
        words.emplace_back(kNoFences);
    }
    if (!context_bytes.empty()) {
        std::string list;
        for (const std::uint64_t bytes : context_bytes) {
            list.append(list.empty() ? "" : ",").append(std::to_string(bytes));
        }
        words.push_back(std::string(kContextBytes) + list);
    }
    if (!cache.empty()) {
        words.push_back(std::string(kCache) + cache);
    }
    if (telemetry) {
        words.emplace_back(kTelemetry);
    }
    if (probe) {
        words.emplace_back(kProbe);
        words.push_back(std::string(kOutputFd) + std::to_string(output_fd));
    } else {
        words.push_back(std::string(kControlFd) + std::to_string(control_fd));
    }
    return words;
}

std::optional<WorkerArguments> WorkerArguments::parse(std::span<char* const> arguments) {
    WorkerArguments result;
    bool has_gpu = false;
    for (const std::string_view word : arguments) {
        if (word.starts_with(kGpu)) {
            const auto gpu = gpu_from_name(word.substr(kGpu.size()));
            if (!gpu) {
                return std::nullopt;
            }
            result.gpu = *gpu;
            has_gpu = true;
        } else if (word.starts_with(kDriver)) {
            result.driver = word.substr(kDriver.size());
        } else if (word.starts_with(kContextBytes)) {
            if (!parse_bytes_of_devices(word.substr(kContextBytes.size()), result.context_bytes)) {
                return std::nullopt;
            }
        } else if (word.starts_with(kCache)) {
            result.cache = word.substr(kCache.size());
        } else if (word == kNoFences) {
            result.fences = false;
        } else if (word == kProbe) {
            result.probe = true;
        } else if (word == kTelemetry) {
            result.telemetry = true;
        } else if (word.starts_with(kControlFd)) {
            if (!parse_fd(word.substr(kControlFd.size()), result.control_fd)) {
                return std::nullopt;
            }
        } else if (word.starts_with(kOutputFd)) {
            if (!parse_fd(word.substr(kOutputFd.size()), result.output_fd)) {
                return std::nullopt;
            }
        } else {
            return std::nullopt;
        }
    }
    const bool has_fd = result.probe ? result.output_fd >= 0 : result.control_fd >= 0;
    if (!has_gpu || result.driver.empty() || !has_fd) {
        return std::nullopt;
    }
    return result;
}

}  // namespace cubar::host
