// SPDX-License-Identifier: Apache-2.0
// Device memory: its addresses, what the driver says of it, a device as its own peer.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;
constexpr CUdeviceptr kUserSpaceEnd = CUdeviceptr{1} << 47;

void ranges(Report& report) {
    const Context context;
    struct Range {
        CUdeviceptr begin;
        std::size_t bytes;
    };
    std::vector<Range> all;
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{1}, std::size_t{4096},
                                    std::size_t{1} << 20, kPage, kPage + 1, std::size_t{64} << 20})
        all.push_back({allocate(bytes), bytes});
    for (const Range& each : all)
        report.observe(number(each.bytes) + " B at " + hexadecimal(each.begin));
    std::sort(all.begin(), all.end(),
              [](const Range& a, const Range& b) { return a.begin < b.begin; });
    bool aligned = true, apart = true;
    for (std::size_t i = 0; i < all.size(); ++i) {
        aligned = aligned && all[i].begin % 256 == 0;
        apart = apart && (i == 0 || all[i - 1].begin + all[i - 1].bytes <= all[i].begin);
    }
    report.expect(aligned, "aligned to 256 bytes");
    report.expect(apart, "apart");
    report.expect(all.back().begin + all.back().bytes <= kUserSpaceEnd, "below 2^47");
}

/// In a process that never touches a driver: how many of these ranges are free there.
class Stranger {
public:
    Stranger() {
        int to[2], from[2];
        if (::pipe(to) != 0 || ::pipe(from) != 0) throw std::runtime_error("no pipe");
        if (::fork() == 0) {
            ::close(to[1]);
            std::uint32_t reserved = 0;
            for (CUdeviceptr at = 0; ::read(to[0], &at, sizeof at) == sizeof at;) {
                void* const wanted = reinterpret_cast<void*>(at / kPage * kPage);
                reserved +=
                    ::mmap(wanted, kPage, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                           0) == wanted;
            }
            ::_exit(::write(from[1], &reserved, sizeof reserved) == sizeof reserved ? 0 : 1);
        }
        ::close(to[0]);
        ::close(from[1]);
        to_ = to[1];
        from_ = from[0];
    }

    void ask(CUdeviceptr at) const {
        if (::write(to_, &at, sizeof at) != sizeof at)
            throw std::runtime_error("the child is gone");
    }
    std::uint32_t reserved() const {
        ::close(to_);
        std::uint32_t count = 0;
        if (::read(from_, &count, sizeof count) != sizeof count)
            throw std::runtime_error("the child is gone");
        return count;
    }

private:
    int to_ = -1;
    int from_ = -1;
};

void reservable(Report& report) {
    constexpr unsigned kRanges = 32;
    const Stranger stranger;
    const Context context;
    for (unsigned i = 0; i < kRanges; ++i) stranger.ask(allocate(kPage));
    const std::uint32_t free = stranger.reserved();
    // A collision is allowed for: the host keeps that range and allocates once more.
    report.expect(free > 0, number(free) + " of " + number(kRanges) +
                                " ranges of 2 MiB are free in a process without a driver");
}

void memory_info(Report& report) {
    constexpr std::size_t kBytes = std::size_t{64} << 20;
    const Context context;
    std::size_t before = 0, during = 0, after = 0, total = 0, device_total = 0;
    MUST(cu().cuMemGetInfo(&before, &total));
    const CUdeviceptr memory = allocate(kBytes);
    MUST(cu().cuMemGetInfo(&during, &total));
    MUST(cu().cuMemFree(memory));
    MUST(cu().cuMemGetInfo(&after, &total));
    MUST(cu().cuDeviceTotalMem(&device_total, context.device()));
    report.expect(before - during == kBytes,
                  "64 MiB allocated take " + number(before - during) + " B");
    report.expect(after == before, "freed, they are back");
    report.expect(total <= device_total,
                  "total " + number(total) + " of the device's " + number(device_total));
}

void own_peer(Report& report) {
    const Context context;
    int can = -1;
    const CUresult asked = cu().cuDeviceCanAccessPeer(&can, context.device(), context.device());
    report.expect(
        asked == CUDA_SUCCESS && can == 0,
        "cuDeviceCanAccessPeer of itself: " + name_of(asked) + ", " + std::to_string(can));
    const CUdeviceptr from = allocate(4096), to = allocate(4096);
    const std::uint32_t word = 0x1234;
    std::uint32_t got = 0;
    MUST(cu().cuMemcpyHtoD(from, &word, sizeof word));
    const CUresult copied = cu().cuMemcpyPeer(to, context.handle(), from, context.handle(), 4096);
    MUST(cu().cuMemcpyDtoH(&got, to, sizeof got));
    report.expect(copied == CUDA_SUCCESS && got == word,
                  "cuMemcpyPeer to itself: " + name_of(copied));
}

void pointer_facts(Report& report) {
    const Context context;
    const CUdeviceptr memory = allocate(4096);
    CUmemorytype type{};
    MUST(cu().cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory + 100));
    report.expect(type == CU_MEMORYTYPE_DEVICE, "inside device memory: type " + number(type));
    int here = 0;
    const CUresult host = cu().cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                                     reinterpret_cast<CUdeviceptr>(&here));
    report.expect(host == CUDA_ERROR_INVALID_VALUE, "ordinary host memory: " + name_of(host));
}

constexpr Probe kProbes[] = {
    {"device_addresses", Asked::kEverywhere,
     "device memory lies below 2^47, aligned, apart: a process can reserve its addresses",
     "The guest reserves each device range in its own address space (PROT_NONE, no replace)",
     ranges},
    {"addresses_can_be_reserved", Asked::kHost,
     "some device addresses are free in a process that has no driver",
     "so that host and device pointers never collide; on collision the host allocates elsewhere",
     reservable},
    {"memory_info", Asked::kEverywhere, "cuMemGetInfo follows each allocation and free",
     "One ledger for every kind of allocation; cuMemGetInfo, cuDeviceTotalMem and NVML report it "
     "alike.",
     memory_info},
    {"own_peer", Asked::kEverywhere, "a device is not its own peer, yet copies to itself",
     "No function pretends.", own_peer},
    {"pointer_attributes", Asked::kEverywhere,
     "inner addresses are known, ordinary host memory is not",
     "local: answered in the guest from facts it holds (..., pointer attributes, ...)",
     pointer_facts},
};

}  // namespace

std::span<const Probe> address_probes() {
    return kProbes;
}

}  // namespace cubar::probe
