// SPDX-License-Identifier: Apache-2.0
// Registered memory: what cubar's arena and fences are made of.
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

constexpr unsigned kFlags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
constexpr std::size_t kGranule = std::size_t{2} << 20;
// Far from where Linux puts mappings of its own; what is chosen there before cuInit must stay ours.
constexpr std::uintptr_t kChosenAddress = 0x2f00'0000'0000;

/// A memory file, as the arena is one.
class SharedFile {
public:
    explicit SharedFile(std::size_t bytes)
        : fd_(::memfd_create("arena", MFD_CLOEXEC)), bytes_(bytes) {
        if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
            throw std::runtime_error("no memory file");
    }
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;
    ~SharedFile() { ::close(fd_); }

    /// The whole of it, mapped; at an address that must be free unless it is 0.
    std::byte* map(std::uintptr_t at = 0) const {
        void* const wanted = reinterpret_cast<void*>(at);
        void* const got = ::mmap(wanted, bytes_, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | (at != 0 ? MAP_FIXED_NOREPLACE : 0), fd_, 0);
        if (got == MAP_FAILED)
            throw std::runtime_error(std::string("mmap: ") + std::strerror(errno));
        return static_cast<std::byte*>(got);
    }

private:
    int fd_;
    std::size_t bytes_;
};

CUdeviceptr device_address(std::byte* memory) {
    CUdeviceptr address = 0;
    MUST(cu().cuMemHostGetDevicePointer(&address, memory, 0));
    return address;
}

std::uint32_t word_at(const std::byte* memory, std::size_t index) {
    std::uint32_t word = 0;
    std::memcpy(&word, memory + index * sizeof word, sizeof word);
    return word;
}

void expect_own_address(Report& report, std::byte* memory) {
    const CUdeviceptr address = device_address(memory);
    report.expect(address == reinterpret_cast<CUdeviceptr>(memory),
                  "host " + hexadecimal(reinterpret_cast<std::uintptr_t>(memory)) + ", device " +
                      hexadecimal(address));
}

void register_shared(Report& report) {
    const Context context;
    const SharedFile file(kGranule);
    std::byte* const memory = file.map();
    const CUresult registered = cu().cuMemHostRegister(memory, kGranule, kFlags);
    report.expect(registered == CUDA_SUCCESS,
                  "shared pages of a memory file: " + name_of(registered));
    expect_own_address(report, memory);
    const Kernels kernels;
    MUST(launch(kernels.get("fill"), nullptr, 1024, device_address(memory), 1024u, 77u));
    MUST(cu().cuCtxSynchronize());
    report.expect(word_at(memory, 0) == 77 && word_at(memory, 1023) == 77, "a kernel writes them");
}

void register_second_mapping(Report& report) {
    const Context context;
    const SharedFile file(kGranule);
    std::byte* const first = file.map();
    std::byte* const second = file.map();
    MUST(cu().cuMemHostRegister(first, kGranule, kFlags));
    const CUresult registered = cu().cuMemHostRegister(second, kGranule, kFlags);
    report.expect(registered == CUDA_SUCCESS,
                  "the same pages a second time: " + name_of(registered));
    expect_own_address(report, second);
    const Kernels kernels;
    MUST(launch(kernels.get("fill"), nullptr, 1, device_address(first), 1u, 3u));
    MUST(cu().cuCtxSynchronize());
    report.expect(word_at(second, 0) == 3, "what a kernel writes in one is seen in the other");
}

void register_chosen_address(Report& report) {
    const SharedFile file(kGranule);
    std::byte* const memory = file.map(kChosenAddress);
    const Context context;
    MUST(cu().cuMemHostRegister(memory, kGranule, kFlags));
    expect_own_address(report, memory);
}

void register_inside_reservation(Report& report) {
    // As a worker does it: the whole arena's addresses first, then granule by granule.
    constexpr std::size_t kReserved = std::size_t{64} << 30;
    void* const wanted = reinterpret_cast<void*>(kChosenAddress);
    void* const reserved =
        ::mmap(wanted, kReserved, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    report.expect(reserved == wanted, "64 GiB reserved before cuInit");
    const Context context;
    const int fd = ::memfd_create("arena", MFD_CLOEXEC);
    if (fd < 0 || ::ftruncate(fd, 2 * kGranule) != 0) throw std::runtime_error("no memory file");
    auto* const base = static_cast<std::byte*>(wanted);
    for (std::size_t i = 0; i < 2; ++i) {
        std::byte* const granule = base + i * kGranule;
        if (::mmap(granule, kGranule, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                   static_cast<off_t>(i * kGranule)) == MAP_FAILED)
            throw std::runtime_error("mmap");
        MUST(cu().cuMemHostRegister(granule, kGranule, kFlags));
        expect_own_address(report, granule);
    }
    ::close(fd);
    // Two registrations, side by side: a kernel crosses the border.
    const Kernels kernels;
    MUST(launch(kernels.get("fill"), nullptr, 512, device_address(base + kGranule - 1024), 512u,
                9u));
    const CUresult crossed = cu().cuCtxSynchronize();
    report.expect(crossed == CUDA_SUCCESS && word_at(base + kGranule, 0) == 9,
                  "a kernel across two granules: " + name_of(crossed));
}

void copy_across_granules(Report& report) {
    const Context context;
    const SharedFile file(2 * kGranule);
    std::byte* const memory = file.map();
    for (std::size_t i = 0; i < 2; ++i)
        MUST(cu().cuMemHostRegister(memory + i * kGranule, kGranule, kFlags));
    const CUdeviceptr device = allocate(4096);
    const CUresult crossed = cu().cuMemcpyHtoD(device, memory + kGranule - 2048, 4096);
    report.expect(crossed == CUDA_SUCCESS, "a copy across two registrations: " + name_of(crossed));
}

void unregister(Report& report) {
    const Context context;
    const SharedFile file(kGranule);
    std::byte* const memory = file.map();
    const CUresult never = cu().cuMemHostUnregister(memory);
    report.expect(never == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
                  "never registered: " + name_of(never));
    MUST(cu().cuMemHostRegister(memory, kGranule, kFlags));
    const CUresult twice = cu().cuMemHostRegister(memory, kGranule, kFlags);
    report.expect(twice == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                  "registered twice: " + name_of(twice));
    MUST(cu().cuMemHostUnregister(memory));
    const CUresult again = cu().cuMemHostRegister(memory, kGranule, kFlags);
    report.expect(again == CUDA_SUCCESS, "and again after its end: " + name_of(again));
}

void reset(Report& report) {
    const Context context;
    const SharedFile file(kGranule);
    std::byte* const memory = file.map();
    MUST(cu().cuMemHostRegister(memory, kGranule, kFlags));
    MUST(cu().cuDevicePrimaryCtxReset(context.device()));
    memory[0] = std::byte{1};
    report.observe("the pages outlive the reset");
    const Context next;
    const CUresult gone = cu().cuMemHostUnregister(memory);
    report.expect(gone == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
                  "its registration afterwards: " + name_of(gone));
    const CUresult again = cu().cuMemHostRegister(memory, kGranule, kFlags);
    report.expect(again == CUDA_SUCCESS, "registered anew: " + name_of(again));
    expect_own_address(report, memory);
}

void memory_limit(Report& report) {
    constexpr std::size_t kBytes = std::size_t{16} << 20;
    const rlimit little{65536, 65536};
    if (::setrlimit(RLIMIT_MEMLOCK, &little) != 0) throw std::runtime_error("setrlimit");
    const Context context;
    const SharedFile file(kBytes);
    std::byte* const memory = file.map();
    const CUresult registered = cu().cuMemHostRegister(memory, kBytes, kFlags);
    report.expect(registered == CUDA_SUCCESS,
                  "16 MiB with RLIMIT_MEMLOCK at 64 KiB: " + name_of(registered));
}

constexpr Probe kProbes[] = {
    {"register_shared_file", Asked::kHost,
     "shared pages of a memory file can be registered for all contexts, at their own address",
     "Pinned memory ... lies in the arena, registered with the driver granule by granule",
     register_shared},
    {"register_second_mapping", Asked::kHost, "a second mapping of registered pages can be too",
     "BAR2: a header page, then channels, then the arena (a worker maps fences and arena apart)",
     register_second_mapping},
    {"register_chosen_address", Asked::kHost,
     "memory at an address chosen before cuInit has that address on the device",
     "at the same virtual address in guest and worker (agreed before the driver initialises)",
     register_chosen_address},
    {"register_granules", Asked::kHost,
     "granules inside a reservation are registered one by one, and kernels cross their borders",
     "registered with the driver granule by granule, at the same virtual address",
     register_inside_reservation},
    {"copy_across_granules", Asked::kNvidia, "a copy may cross the border of two registrations",
     "the GPU reads and writes it, no CPU copies", copy_across_granules},
    {"unregister", Asked::kHost, "registration ends, is refused twice, and can be had again",
     "Channel and granules return only after their worker is gone and with it every DMA.",
     unregister},
    {"registered_after_reset", Asked::kHost,
     "a reset of the primary context ends registrations; the pages stay and can be registered anew",
     "registered with the driver granule by granule", reset},
    {"registered_beyond_memlock", Asked::kHost, "RLIMIT_MEMLOCK does not limit registration",
     "own uid, namespaces, seccomp (a worker has no privileges)", memory_limit},
};

}  // namespace

std::span<const Probe> memory_probes() {
    return kProbes;
}

}  // namespace cubar::probe
