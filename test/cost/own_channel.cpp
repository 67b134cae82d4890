// SPDX-License-Identifier: Apache-2.0
#include "test/cost/own_channel.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

namespace cubar::cost {
namespace {

/// A mapping of the device's memory: where, and which part of it.
struct Part {
    std::byte* at;
    std::uint64_t offset;
};

/// The local device is a memory file. That of a VM is a BAR, by one of two names, and the kernel
/// shows its physical addresses as offsets; the header, at its start, is always mapped.
std::vector<Part> mapped_parts() {
    std::vector<Part> parts;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t begin = 0;
        std::uint64_t offset = 0;
        const bool ours = line.find("/memfd:cubar") != std::string::npos ||
                          line.find("/resource2") != std::string::npos;
        if (ours &&
            std::sscanf(line.c_str(), "%" SCNxPTR "-%*x %*s %" SCNx64, &begin, &offset) == 2) {
            parts.push_back({reinterpret_cast<std::byte*>(begin), offset});
        }
    }
    const auto first = std::ranges::min_element(parts, {}, &Part::offset);
    const std::uint64_t start = first == parts.end() ? 0 : first->offset;
    for (Part& part : parts) part.offset -= start;
    return parts;
}

/// By opcodes.lock. What an inline copy moves is in its record.
enum Opcode : std::uint32_t { kCopyIn = 0x014, kCopyOut = 0x015, kMemcpyAsync = 0x091 };

}  // namespace

OwnChannel::OwnChannel() {
    const std::vector<Part> parts = mapped_parts();
    const auto first =
        std::find_if(parts.begin(), parts.end(), [](const Part& part) { return part.offset == 0; });
    if (first == parts.end()) throw std::runtime_error("the device's header is not mapped");
    const auto& header = *reinterpret_cast<const Header*>(first->at);
    if (header.magic != kMagic) throw std::runtime_error("what is mapped is another device");
    arena_bytes_ = header.arena_bytes;
    for (const Part& part : parts) {
        if (part.offset < header.channels_offset || part.offset >= header.arena_offset) continue;
        const std::uint64_t in_channel =
            (part.offset - header.channels_offset) % header.channel_stride;
        if (in_channel == offsetof(Channel, control)) {
            control_ = reinterpret_cast<ChannelControl*>(part.at);
            slots_ = reinterpret_cast<const ReplySlot*>(part.at + offsetof(Channel, reply));
        } else if (in_channel == offsetof(Channel, ring)) {
            ring_ = part.at;
        }
    }
    if (control_ == nullptr || ring_ == nullptr) throw std::runtime_error("no channel is mapped");
    seen_ = control_->tail.load(std::memory_order_acquire);
}

Sent OwnChannel::count() {
    Sent sent;
    const Position tail = control_->tail.load(std::memory_order_acquire);
    sent.bytes = tail - seen_;
    if (sent.bytes > kRingBytes) throw std::runtime_error("too much was sent to count it");
    while (seen_ != tail) {
        Copy copy{};
        const RecordHeader header = read(seen_, copy);
        if (header.bytes < sizeof header || header.bytes > tail - seen_) {
            throw std::runtime_error("what was sent is no record");
        }
        ++sent.records;
        ++sent.opcodes[header.opcode];
        seen_ += header.bytes;
        if (crosses(header.opcode, copy)) sent.copied += copy.bytes;
        if (header.reply_slot >= kReplySlots) continue;
        ++sent.round_trips;
        const ReplySlot& slot = slots_[header.reply_slot];
        if (slot.position == seen_) sent.answered += slot.bytes;
    }
    return sent;
}

RecordHeader OwnChannel::read(Position at, Copy& copy) const {
    // Records are aligned to 16 bytes and so is the ring's size: one may wrap in its middle.
    std::array<std::byte, sizeof(RecordHeader) + sizeof(Copy)> bytes;
    const std::size_t begin = at % kRingBytes;
    const std::size_t whole = std::min(bytes.size(), kRingBytes - begin);
    std::memcpy(bytes.data(), ring_ + begin, whole);
    std::memcpy(bytes.data() + whole, ring_, bytes.size() - whole);
    RecordHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    std::memcpy(&copy, bytes.data() + sizeof header, sizeof copy);
    return header;
}

bool OwnChannel::crosses(std::uint32_t opcode, const Copy& copy) const {
    const auto in_arena = [this](std::uint64_t address) {
        return address - control_->arena_address < arena_bytes_;
    };
    return opcode == kCopyIn || opcode == kCopyOut ||
           (opcode == kMemcpyAsync && (in_arena(copy.target) || in_arena(copy.source)));
}

void OwnChannel::pretend_worker_awake() {
    // It goes to sleep within the limit of its spin.
    while (control_->worker_sleeping.load(std::memory_order_acquire) == 0) sched_yield();
    control_->worker_sleeping.store(0, std::memory_order_release);
}

void OwnChannel::pretence_over() {
    control_->worker_sleeping.store(1, std::memory_order_release);
}

}  // namespace cubar::cost
