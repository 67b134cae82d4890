// SPDX-License-Identifier: Apache-2.0
#include "driver/visible_devices.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "driver/log.h"

namespace cubar::driver {
namespace {

constexpr std::string_view kGpuPrefix = "GPU-";
constexpr std::string_view kMigPrefix = "MIG-";
constexpr std::string_view kBlanks = " \t";

// "GPU-" or "MIG-" and the UUID as it is usually written.
class DeviceName {
public:
    explicit DeviceName(const PhysicalDevice& device) noexcept {
        constexpr std::string_view kDigits = "0123456789abcdef";
        auto out = std::ranges::copy(device.mig ? kMigPrefix : kGpuPrefix, text_).out;
        for (std::size_t index = 0; index < sizeof device.uuid.bytes; ++index) {
            if (index == 4 || index == 6 || index == 8 || index == 10) {
                *out++ = '-';
            }
            const auto value = static_cast<unsigned char>(device.uuid.bytes[index]);
            *out++ = kDigits[value >> 4];
            *out++ = kDigits[value & 0xf];
        }
    }

    // Hexadecimal digits may be upper case; the name is lower case behind its prefix.
    bool starts_with(std::string_view start) const noexcept {
        const auto lower = [](char c) {
            return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
        };
        return start.size() <= sizeof text_ &&
               std::equal(start.begin(), start.begin() + kGpuPrefix.size(), text_) &&
               std::equal(start.begin() + kGpuPrefix.size(), start.end(), text_ + kGpuPrefix.size(),
                          [&](char wanted, char actual) { return lower(wanted) == actual; });
    }

private:
    char text_[4 + 32 + 4];
};

bool is_named(std::string_view entry) noexcept {
    return entry.starts_with(kGpuPrefix) || entry.starts_with(kMigPrefix);
}

std::optional<unsigned> by_name(std::string_view entry,
                                std::span<const PhysicalDevice> devices) noexcept {
    std::optional<unsigned> found;
    for (unsigned ordinal = 0; ordinal < devices.size(); ++ordinal) {
        if (DeviceName(devices[ordinal]).starts_with(entry)) {
            if (found) {
                return std::nullopt;  // ambiguous
            }
            found = ordinal;
        }
    }
    return found;
}

// As strtol reads it: digits count up to the first other character.
std::optional<unsigned> by_number(std::string_view entry, std::size_t count) noexcept {
    if (entry.starts_with('+')) {
        entry.remove_prefix(1);
    }
    unsigned ordinal = 0;
    const auto parsed = std::from_chars(entry.data(), entry.data() + entry.size(), ordinal);
    if (parsed.ec != std::errc{} || ordinal >= count) {
        return std::nullopt;
    }
    return ordinal;
}

}  // namespace

std::size_t visible_devices(const char* value, std::span<const PhysicalDevice> devices,
                            std::span<unsigned> ordinals) noexcept {
    std::size_t count = 0;
    if (value == nullptr) {
        while (count < devices.size()) {
            ordinals[count] = static_cast<unsigned>(count);
            ++count;
        }
        return count;
    }
    std::string_view rest = value;
    std::optional<bool> list_of_names;
    while (true) {
        const std::size_t comma = rest.find(',');
        std::string_view entry = rest.substr(0, comma);
        entry.remove_prefix(std::min(entry.find_first_not_of(kBlanks), entry.size()));
        entry = entry.substr(0, entry.find_last_not_of(kBlanks) + 1);
        if (!list_of_names) {
            list_of_names = is_named(entry);
        }
        std::optional<unsigned> ordinal;
        if (*list_of_names == is_named(entry)) {
            ordinal = *list_of_names ? by_name(entry, devices) : by_number(entry, devices.size());
        }
        if (!ordinal) {
            if (!rest.empty()) {
                CUBAR_LOG(kInfo, "CUDA_VISIBLE_DEVICES=%s: no device \"%.*s\", the list ends there",
                          value, static_cast<int>(entry.size()), entry.data());
            }
            return count;
        }
        const auto taken = ordinals.first(count);
        if (std::ranges::find(taken, *ordinal) != taken.end()) {
            CUBAR_LOG(kWarn, "CUDA_VISIBLE_DEVICES=%s names a device twice: none is visible",
                      value);
            return 0;
        }
        ordinals[count++] = *ordinal;
        if (comma == std::string_view::npos) {
            return count;
        }
        rest.remove_prefix(comma + 1);
    }
}

}  // namespace cubar::driver
