// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/settings.h"

#include <charconv>
#include <cstdlib>
#include <limits>
#include <string>

#include "driver/log.h"

namespace cubar::softgpu::device {
namespace {

template <class Value, class Parse>
void read(const char* name, Value& setting, Parse parse) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return;
    if (const auto value = parse(std::string_view(text)))
        setting = static_cast<Value>(*value);
    else
        CUBAR_LOG(kWarn, "softgpu: %s=%s cannot be read and is ignored", name, text);
}

std::optional<bool> parse_switch(std::string_view text) {
    if (text == "0") return false;
    if (text == "1") return true;
    return std::nullopt;
}

std::optional<int> parse_number(std::string_view text, int smallest, int largest) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (value < smallest || value > largest) return std::nullopt;
    return value;
}

}  // namespace

std::optional<std::size_t> parse_size(std::string_view text) {
    unsigned shift = 0;
    if (!text.empty()) {
        switch (text.back()) {
            case 'K':
                shift = 10;
                break;
            case 'M':
                shift = 20;
                break;
            case 'G':
                shift = 30;
                break;
            default:
                break;
        }
        if (shift != 0) text.remove_suffix(1);
    }
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (value == 0 || value > std::numeric_limits<std::size_t>::max() >> shift) return std::nullopt;
    return value << shift;
}

std::optional<ComputeCapability> parse_compute_capability(std::string_view text) {
    const std::size_t dot = text.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto major = parse_number(text.substr(0, dot), 5, 12);
    const auto minor = parse_number(text.substr(dot + 1), 0, 9);
    if (!major || !minor) return std::nullopt;
    return ComputeCapability{*major, *minor};
}

Settings Settings::from_environment() {
    Settings settings;
    ComputeCapability capability{settings.major, settings.minor};
    read("CUBAR_SOFTGPU_CC", capability, parse_compute_capability);
    settings.major = capability.major;
    settings.minor = capability.minor;
    read("CUBAR_SOFTGPU_MEMORY", settings.memory, parse_size);
    read("CUBAR_SOFTGPU_DEVICES", settings.devices,
         [](std::string_view text) { return parse_number(text, 0, 16); });
    read("CUBAR_SOFTGPU_STRICT", settings.strict, parse_switch);
    read("CUBAR_SOFTGPU_NULL", settings.null_kernels, parse_switch);
    read("CUDA_LAUNCH_BLOCKING", settings.launch_blocking, parse_switch);
    return settings;
}

}  // namespace cubar::softgpu::device
