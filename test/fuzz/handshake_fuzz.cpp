// SPDX-License-Identifier: Apache-2.0
// What a worker, a probe and a keeper's peer may send: a stream of packets from three sessions,
// each answered by the ledgers, whose sums must hold whatever was asked. Sources:
// host/cubard/{guest,ledger,probe,packet,shared_memory,spawn,worker_process,event_loop}.cpp
// (cubard's library); libraries: libspdlog, libseccomp.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "host/cubard/guest.h"
#include "host/cubard/keeper_protocol.h"
#include "host/cubard/probe.h"

using namespace cubar::host;

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

constexpr std::uint64_t kQuota = 1 << 20;
constexpr SessionId kSessions = 3;

void talk(std::span<const std::byte> packets) {
    Ledger ledger({{.total = 2 * kQuota, .quota = kQuota}, {.total = kQuota, .quota = 0}});
    std::vector<SessionId> owners(64, 0);
    GranuleLedger granules(owners);
    while (packets.size() > 1) {
        const SessionId session = 1 + std::to_integer<unsigned>(packets[0]) % kSessions;
        const bool ends = (packets[0] & std::byte{0x80}) != std::byte{0};
        packets = packets.subspan(1);
        const auto packet = packets.first(std::min(packets.size(), sizeof(WorkerMessage)));
        packets = packets.subspan(packet.size());
        if (const auto message = decode_worker_message(packet)) {
            const HostMessage answer = answer_worker(ledger, granules, session, *message);
            require(answer.kind == HostSays::kAnswer && answer.number == message->number);
            const bool granted = answer.verdict == Verdict::kGranted;
            if (message->kind == WorkerSays::kLease && granted) {
                require(answer.first_granule + message->bytes <= owners.size());
            }
        }
        if (ends) {
            ledger.drop(session);
            granules.drop(session);
        }
        std::uint64_t leased = 0;
        for (std::uint32_t device = 0; device < 2; ++device) {
            std::uint64_t sum = 0;
            for (SessionId each = 1; each <= kSessions; ++each) {
                sum += ledger.used_by(each, device);
            }
            require(sum == ledger.usage(device).used);
        }
        for (SessionId each = 1; each <= kSessions; ++each) {
            leased += granules.held_by(each);
        }
        require(ledger.usage(0).used <= kQuota && leased + granules.free() == owners.size());
    }
}

/// A report is large: the input is laid over one that is good.
void probe(std::span<const std::byte> input) {
    ProbeReport report{};
    report.facts.driver_version = 13000;
    report.facts.device_count = 2;
    report.facts.device[0].total_bytes = report.facts.device[1].total_bytes = kQuota;
    std::vector<std::byte> bytes(sizeof report);
    std::memcpy(bytes.data(), &report, sizeof report);
    require(decode_report(bytes).has_value());
    std::copy_n(input.begin(), std::min(input.size(), bytes.size()), bytes.begin());
    if (const auto read = decode_report(bytes)) {
        const cubar::Facts& facts = read->facts;
        require(facts.device_count <= cubar::kMaxDevices);
        require(std::memchr(facts.host_driver, 0, sizeof facts.host_driver) != nullptr);
        for (std::uint32_t i = 0; i < facts.device_count; ++i) {
            require(std::memchr(facts.device[i].name, 0, sizeof facts.device[i].name) != nullptr);
            require(read->context_bytes[i] < facts.device[i].total_bytes);
        }
    }
    require(!decode_report(input.first(std::min(input.size(), sizeof report - 1))));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span input(reinterpret_cast<const std::byte*>(data), size);
    talk(input);
    probe(input);
    for (const char c : printable({reinterpret_cast<const char*>(data), size})) {
        require(static_cast<unsigned char>(c) >= 0x20);
    }
    if (const auto message = KeeperMessage::decode(input)) {
        require(std::memchr(message->name, 0, sizeof message->name) != nullptr);
    }
    return 0;
}
