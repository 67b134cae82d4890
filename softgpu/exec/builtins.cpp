// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/builtins.h"

#include <cstdio>
#include <cstring>
#include <string_view>

namespace cubar::softgpu::exec {
namespace {

class Formatter {
public:
    Formatter(const std::string& format, const PrintArguments& arguments)
        : format_(format), arguments_(arguments) {}

    bool run() {
        size_t at = 0;
        while (at < format_.size()) {
            const size_t percent = format_.find('%', at);
            text_.append(format_, at, percent - at);
            if (percent == std::string::npos) return true;
            at = percent;
            if (!convert(at)) return false;
        }
        return true;
    }

    std::string text_;
    int count_ = 0;

private:
    static constexpr int kWidest = 4096;

    std::optional<uint64_t> next(unsigned size) {
        offset_ = (offset_ + size - 1) / size * size;
        const std::optional<uint64_t> value = arguments_.read(offset_, size);
        offset_ += size;
        ++count_;
        return value;
    }

    // Digits, or `*` and the next argument, appended to the specification.
    bool number(size_t& at, std::string& spec) {
        if (at < format_.size() && format_[at] == '*') {
            ++at;
            const std::optional<uint64_t> value = next(4);
            if (!value) return false;
            const int width = int(uint32_t(*value));
            spec += std::to_string(width > kWidest ? kWidest : width < -kWidest ? -kWidest : width);
            return true;
        }
        int width = 0;
        bool any = false;
        while (at < format_.size() && format_[at] >= '0' && format_[at] <= '9') {
            if (width < kWidest) width = width * 10 + (format_[at] - '0');
            any = true;
            ++at;
        }
        if (any) spec += std::to_string(width > kWidest ? kWidest : width);
        return true;
    }

    template <class T>
    void print(const std::string& spec, T value) {
        char small[512];
        const int length = std::snprintf(small, sizeof(small), spec.c_str(), value);
        if (length < 0) return;
        if (size_t(length) < sizeof(small)) {
            text_.append(small, size_t(length));
            return;
        }
        std::string large(size_t(length) + 1, '\0');
        std::snprintf(large.data(), large.size(), spec.c_str(), value);
        text_.append(large, 0, size_t(length));
    }

    bool convert(size_t& at) {
        const size_t begin = at++;
        std::string spec = "%";
        while (at < format_.size() && std::strchr("-+ #0", format_[at]) != nullptr) {
            spec += format_[at++];
        }
        if (!number(at, spec)) return false;
        if (at < format_.size() && format_[at] == '.') {
            ++at;
            std::string precision = ".";
            if (!number(at, precision)) return false;
            // A negative precision is as if there were none.
            if (precision.find('-') == std::string::npos) spec += precision;
        }
        unsigned longs = 0;
        unsigned shorts = 0;
        while (at < format_.size() && std::strchr("lhjztL", format_[at]) != nullptr) {
            longs += format_[at] == 'h' ? 0 : 1;
            shorts += format_[at] == 'h' ? 1 : 0;
            ++at;
        }
        if (at >= format_.size()) {
            text_.append(format_, begin, std::string::npos);
            return true;
        }
        const char kind = format_[at++];
        return argument(kind, begin, at, spec, longs, shorts);
    }

    bool argument(char kind, size_t begin, size_t end, std::string spec, unsigned longs,
                  unsigned shorts) {
        switch (kind) {
            case '%':
                text_ += '%';
                return true;
            case 'd':
            case 'i':
            case 'u':
            case 'o':
            case 'x':
            case 'X': {
                const std::optional<uint64_t> bits = next(longs != 0 ? 8 : 4);
                if (!bits) return false;
                print_integer(kind, spec, *bits, longs, shorts);
                return true;
            }
            case 'c': {
                const std::optional<uint64_t> bits = next(4);
                if (!bits) return false;
                print(spec.append(1, 'c'), int(uint32_t(*bits)));
                return true;
            }
            case 'p': {
                const std::optional<uint64_t> bits = next(8);
                if (!bits) return false;
                print(spec.append(1, 'p'), reinterpret_cast<void*>(*bits));
                return true;
            }
            case 'e':
            case 'E':
            case 'f':
            case 'F':
            case 'g':
            case 'G':
            case 'a':
            case 'A': {
                const std::optional<uint64_t> bits = next(8);
                if (!bits) return false;
                double value;
                std::memcpy(&value, &*bits, sizeof(value));
                print(spec.append(1, kind), value);
                return true;
            }
            case 's': {
                const std::optional<uint64_t> address = next(8);
                if (!address) return false;
                std::optional<std::string> string = "(null)";
                if (*address != 0) string = arguments_.read_string(*address);
                if (!string) return false;
                print(spec.append(1, 's'), string->c_str());
                return true;
            }
            default:
                text_.append(format_, begin, end - begin);
                return true;
        }
    }

    void print_integer(char kind, const std::string& spec, uint64_t bits, unsigned longs,
                       unsigned shorts) {
        const bool is_signed = kind == 'd' || kind == 'i';
        if (is_signed) {
            auto value = longs != 0 ? int64_t(bits) : int64_t{int32_t(uint32_t(bits))};
            if (shorts == 1) value = int16_t(value);
            if (shorts > 1) value = static_cast<int64_t>(bits << 56) >> 56;
            print(spec + "lld", static_cast<long long>(value));
        } else {
            uint64_t value = longs != 0 ? bits : uint32_t(bits);
            if (shorts == 1) value = uint16_t(value);
            if (shorts > 1) value = uint8_t(value);
            print(spec + "ll" + kind, static_cast<unsigned long long>(value));
        }
    }

    const std::string& format_;
    const PrintArguments& arguments_;
    uint64_t offset_ = 0;
};

uint64_t read_argument(WarpState& warp, const CallSite& site, size_t index, unsigned lane) {
    if (index >= site.arguments.size()) return 0;
    const Transfer& argument = site.arguments[index];
    uint64_t value = 0;
    const char* from =
        lane_place(warp, *warp.frame, argument.from_slot, argument.from, argument.bytes, lane);
    std::memcpy(&value, from, argument.bytes < 8 ? argument.bytes : 8);
    return value;
}

void write_result(WarpState& warp, const CallSite& site, unsigned lane, uint64_t value) {
    if (site.results.empty()) return;
    const Transfer& result = site.results[0];
    char* to = lane_place(warp, *warp.frame, result.to_slot, result.to, result.bytes, lane);
    std::memcpy(to, &value, result.bytes < 8 ? result.bytes : 8);
}

const Insn* print_lanes(WarpState& warp, const Insn* insn, uint32_t mask, const CallSite& site) {
    Block& block = *warp.block;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const uint64_t format_at = read_argument(warp, site, 0, lane);
        const uint64_t block_at = read_argument(warp, site, 1, lane);
        int count = -1;
        if (format_at != 0) {
            const auto format = block.read_string(warp, lane, format_at);
            PrintArguments arguments;
            arguments.read = [&](uint64_t offset, unsigned size) -> std::optional<uint64_t> {
                const char* from = block.host_address(warp, lane, block_at + offset, size);
                if (from == nullptr) return std::nullopt;
                uint64_t value = 0;
                std::memcpy(&value, from, size);
                return value;
            };
            arguments.read_string = [&](uint64_t address) {
                return block.read_string(warp, lane, address);
            };
            const auto text = format ? format_device(*format, arguments, count) : std::nullopt;
            if (!text) {
                return block.fail(warp, insn, FaultKind::kIllegalAddress,
                                  format ? block_at : format_at,
                                  "printf reads memory that it may not");
            }
            if (block.grid().print != nullptr) block.grid().print->append(*text);
        }
        write_result(warp, site, lane, uint64_t(int64_t{count}));
    }
    return insn + 1;
}

const Insn* fail_assertion(WarpState& warp, const Insn* insn, uint32_t mask, const CallSite& site) {
    Block& block = *warp.block;
    const BlockFacts& facts = *warp.facts;
    std::string all;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const auto text = [&](size_t index) {
            const uint64_t address = read_argument(warp, site, index, lane);
            if (address == 0) return std::string();
            return block.read_string(warp, lane, address).value_or("?");
        };
        const uint32_t thread = warp.index * kLanes + lane;
        const auto triple = [](uint32_t x, uint32_t y, uint32_t z) {
            char formatted[64];
            std::snprintf(formatted, sizeof(formatted), "[%u,%u,%u]", x, y, z);
            return std::string(formatted);
        };
        all += text(1) + ":" + std::to_string(uint32_t(read_argument(warp, site, 2, lane))) + ": " +
               text(3) + ": block: " + triple(facts.index.x, facts.index.y, facts.index.z) +
               ", thread: " +
               triple(thread % facts.block.x, thread / facts.block.x % facts.block.y,
                      thread / facts.block.x / facts.block.y) +
               " Assertion `" + text(0) + "` failed.\n";
    }
    return block.fail(warp, insn, FaultKind::kAssert, 0, all);
}

const Insn* set_conditions(WarpState& warp, const Insn* insn, uint32_t mask, const CallSite& site) {
    const ConditionTable& conditions = warp.block->grid().map->conditions();
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const uint64_t handle = read_argument(warp, site, 0, lane);
        if (!conditions.set(handle, uint32_t(read_argument(warp, site, 1, lane))))
            return warp.block->fail(warp, insn, FaultKind::kTrap, handle,
                                    "cudaGraphSetConditional of a handle that no graph has");
    }
    return insn + 1;
}

}  // namespace

std::optional<std::string> format_device(const std::string& format, const PrintArguments& arguments,
                                         int& count) {
    Formatter formatter(format, arguments);
    if (!formatter.run()) return std::nullopt;
    count = formatter.count_;
    return std::move(formatter.text_);
}

const Insn* call_builtin(WarpState& warp, const Insn* insn, uint32_t mask, const CallSite& site) {
    if (site.builtin == Builtin::kPrintf) return print_lanes(warp, insn, mask, site);
    if (site.builtin == Builtin::kAssertFail) return fail_assertion(warp, insn, mask, site);
    if (site.builtin == Builtin::kSetCondition) return set_conditions(warp, insn, mask, site);
    DeviceHeap& heap = warp.block->grid().image->heap;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const uint64_t argument = read_argument(warp, site, 0, lane);
        if (site.builtin == Builtin::kMalloc) {
            write_result(warp, site, lane, heap.allocate(argument));
        } else if (argument != 0 && !heap.release(argument)) {
            return warp.block->fail(warp, insn, FaultKind::kTrap, argument,
                                    "free of an address that malloc did not give");
        }
    }
    return insn + 1;
}

}  // namespace cubar::softgpu::exec
