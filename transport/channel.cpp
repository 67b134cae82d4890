// SPDX-License-Identifier: Apache-2.0
#include "transport/channel.h"

#include <cerrno>
#include <cstddef>
#include <new>

namespace cubar::transport {

namespace {

/// The ring, twice in a row.
Result<Mapping> map_ring(Device& device, unsigned channel) {
    Result<Mapping> twice = Mapping::reserve(2 * kRingBytes);
    if (!twice) {
        return twice;
    }
    const std::uint64_t offset = device.channel_offset(channel) + offsetof(cubar::Channel, ring);
    for (const std::size_t at : {std::size_t{0}, kRingBytes}) {
        if (Failure failure = device.map(*twice, twice->bytes().subspan(at, kRingBytes), offset,
                                         Caching::kBulk)) {
            return failure;
        }
    }
    return twice;
}

Result<Mapping> map_long_replies(Device& device, unsigned channel) {
    Result<Mapping> pages = Mapping::reserve(sizeof(cubar::Channel::long_reply));
    if (!pages) {
        return pages;
    }
    if (Failure failure =
            device.map(*pages, pages->bytes(),
                       device.channel_offset(channel) + offsetof(cubar::Channel, long_reply),
                       Caching::kBulk, false)) {
        return failure;
    }
    return pages;
}

}  // namespace

Result<std::unique_ptr<Channel>> Channel::open(Device& device, const ClaimOptions& options) {
    Result<Claim> claim = Claim::take(device, options);
    if (!claim) {
        return claim.failure();
    }
    Result<Mapping> ring = map_ring(device, claim->channel());
    if (!ring) {
        return ring.failure();
    }
    Result<Mapping> long_replies = map_long_replies(device, claim->channel());
    if (!long_replies) {
        return long_replies.failure();
    }
    std::unique_ptr<Channel> channel(new (std::nothrow) Channel(
        device, std::move(*claim), std::move(*ring), std::move(*long_replies)));
    if (channel == nullptr) {
        return Failure::make(Error::kNoMemory, ENOMEM, "allocating");
    }
    return channel;
}

Channel::Channel(Device& device, Claim&& claim, Mapping&& ring, Mapping&& long_replies)
    : device_(device),
      claim_(std::move(claim)),
      ring_memory_(std::move(ring)),
      long_replies_(std::move(long_replies)),
      liveness_(device.header(), control(), claim_.epoch()),
      wait_{device.wait_policy(), device.memory_type(), budget_,  forecast_,
            control().worker_cpu, control().guest_cpu,  liveness_},
      ring_(control(), ring_memory_.data(), wait_, device,
            device.header().first_channel_peer + claim_.channel()),
      replies_(reinterpret_cast<ReplySlot*>(claim_.control_pages() + kPageBytes),
               long_replies_.data(), wait_),
      fences_(reinterpret_cast<Shared<std::uint64_t>*>(claim_.control_pages() + 2 * kPageBytes),
              wait_) {}

Channel::~Channel() = default;

Answer Channel::call(const Call& call, std::span<const std::byte> request,
                     std::span<const std::byte> payload, std::span<std::byte> reply,
                     Nanoseconds deadline) {
    if (!alive()) {
        return {Error::kForked, 0, 0, 0};
    }
    ReplySlots::Slot slot = replies_.take();
    if (!slot) {
        const Error error = liveness_.session();
        return {error != Error::kNone ? error : Error::kHostSilent, 0, 0, 0};
    }
    const Posted posted =
        ring_.post_parts(call, request.data(), request.size(), payload, slot.index());
    if (posted.error != Error::kNone) {
        slot.cancel();
        return {posted.error, 0, 0, 0};
    }
    const Answer answer = slot.wait(reply, deadline);
    if (answer.error == Error::kNone && answer.position != posted.position) {
        return {Error::kProtocolBroken, 0, 0, 0};
    }
    return answer;
}

SessionError Channel::session_error() const {
    if (!alive()) {
        return SessionError::kNone;
    }
    if (device_.header().epoch.load(std::memory_order_acquire) != claim_.epoch()) {
        return SessionError::kHostRestarted;
    }
    return static_cast<SessionError>(control().session_error.load(std::memory_order_relaxed));
}

Failure Channel::add_granules(GranuleRun run) {
    if (!alive()) {
        return Failure::make(Error::kForked, 0, "%s", describe(Error::kForked));
    }
    const std::uint64_t granules = device_.header().arena_bytes / kGranuleBytes;
    if (run.count == 0 || run.first >= granules || run.count > granules - run.first) {
        return Failure::make(Error::kProtocolBroken, 0, "the host leased granules %u+%u of %llu",
                             run.first, run.count, static_cast<unsigned long long>(granules));
    }
    const std::uint64_t offset = run.first * kGranuleBytes;
    const auto part = claim_.arena().bytes().subspan(offset, run.count * kGranuleBytes);
    if (Failure failure = device_.map(claim_.arena(), part, device_.header().arena_offset + offset,
                                      Caching::kBulk)) {
        return failure;
    }
    if (!arena_.add(run)) {
        return Failure::make(Error::kProtocolBroken, 0, "the host leased granules %u+%u twice",
                             run.first, run.count);
    }
    return {};
}

GranuleRun Channel::remove_free_granules() {
    if (!alive()) {
        return {};
    }
    const GranuleRun run = arena_.remove_free();
    if (run.count != 0) {
        claim_.arena().unmap(
            claim_.arena().bytes().subspan(run.first * kGranuleBytes, run.count * kGranuleBytes));
    }
    return run;
}

unsigned Channel::reap() {
    return alive() ? reap_orphans(device_, claim_.channel(), read_boot_id()) : 0;
}

}  // namespace cubar::transport
