// SPDX-License-Identifier: Apache-2.0
// The process as a whole: initialisation, look-up of functions, private tables, fork, several
// contexts, what ends with a process.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "driver/integrity.h"
#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

void version(Report& report) {
    int version = 0;
    MUST(cu().cuDriverGetVersion(&version));
    report.expect(version >= 13000, "version " + number(static_cast<unsigned>(version)));
    MUST(cu().cuInit(0));
    CUmoduleLoadingMode mode{};
    MUST(cu().cuModuleGetLoadingMode(&mode));
    report.expect(mode == CU_MODULE_LAZY_LOADING, mode == CU_MODULE_LAZY_LOADING
                                                      ? "kernels are loaded lazily"
                                                      : "kernels are loaded eagerly");
}

void cold_start(Report& report) {
    const auto begin = std::chrono::steady_clock::now();
    MUST(cu().cuInit(0));
    const auto initialised = std::chrono::steady_clock::now();
    const Context context;
    const auto end = std::chrono::steady_clock::now();
    const auto ms = [](auto time) {
        return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(time).count());
    };
    report.observe("cuInit " + number(ms(initialised - begin)) + " ms, context " +
                   number(ms(end - initialised)) + " ms");
    report.expect(end - begin < std::chrono::seconds(3),
                  "together " + number(ms(end - begin)) + " ms");
}

void attributes(Report& report) {
    const Context context;
    struct Wanted {
        CUdevice_attribute attribute;
        const char* name;
    };
    for (const Wanted& each : {
             Wanted{CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, "unified addressing"},
             Wanted{CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, "maps host memory"},
             Wanted{CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, "registers host memory"},
             Wanted{CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM,
                    "reaches registered memory by host pointer"},
             Wanted{CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, "writes 64-bit values"},
         }) {
        int value = 0;
        MUST(cu().cuDeviceGetAttribute(&value, each.attribute, context.device()));
        report.expect(value == 1,
                      std::string(each.name) + ": " + number(static_cast<unsigned>(value)));
    }
    std::array<char, 128> name{};
    MUST(cu().cuDeviceGetName(name.data(), static_cast<int>(name.size()), context.device()));
    report.observe(name.data());
}

void visible_devices(Report& report) {
    ::setenv("CUDA_VISIBLE_DEVICES", "", 1);
    const CUresult none = cu().cuInit(0);
    report.expect(none == CUDA_ERROR_NO_DEVICE, "an empty list: " + name_of(none));
}

struct Found {
    CUresult result;
    void* function;
    CUdriverProcAddressQueryResult status;
};

Found find(const char* symbol, int version) {
    Found found{CUDA_SUCCESS, &found, CU_GET_PROC_ADDRESS_SUCCESS};
    found.result = cu().cuGetProcAddress(symbol, &found.function, version,
                                         CU_GET_PROC_ADDRESS_DEFAULT, &found.status);
    return found;
}

std::string text_of(const Found& found) {
    return name_of(found.result) + ", " + (found.function == nullptr ? "null" : "a function") +
           ", status " + number(static_cast<unsigned>(found.status));
}

void proc_address(Report& report) {
    for (const char* name : {"", "cuNoSuchFunction", "cuMemAlloc_v9"}) {
        const Found found = find(name, 13000);
        report.expect(found.result == CUDA_ERROR_NOT_FOUND && found.function == nullptr &&
                          found.status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND,
                      "\"" + std::string(name) + "\": " + text_of(found));
    }
    const Found early = find("cuLibraryLoadData", 11000);
    report.expect(early.result == CUDA_ERROR_NOT_FOUND && early.function == nullptr &&
                      early.status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT,
                  "cuLibraryLoadData at 11000: " + text_of(early));
    report.expect(find("cuCtxGetDevice", 2000).function != find("cuCtxGetDevice", 13000).function,
                  "cuCtxGetDevice differs between 2000 and 13000");
}

void proc_address_too_new(Report& report) {
    int version = 0;
    MUST(cu().cuDriverGetVersion(&version));
    const Found next = find("cuMemAlloc", version + 1000);
    report.expect(next.result == CUDA_ERROR_INVALID_VALUE && next.function == nullptr,
                  "cuMemAlloc for the next major version: " + text_of(next));
}

constexpr CUuuid uuid(std::array<unsigned char, 16> bytes) {
    return std::bit_cast<CUuuid>(bytes);
}

constexpr CUuuid kRuntimeTable = uuid({0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a, 0x89, 0x87,
                                       0xd9, 0x39, 0x12, 0xfd, 0x9d, 0xf9});
constexpr CUuuid kIntegrityTable = uuid({0xd4, 0x08, 0x20, 0x55, 0xbd, 0xe6, 0x70, 0x4b, 0x8d, 0x34,
                                         0xba, 0x12, 0x3c, 0x66, 0xe1, 0xf2});
constexpr CUuuid kStorageTable = uuid({0xc6, 0x93, 0x33, 0x6e, 0x11, 0x21, 0xdf, 0x11, 0xa8, 0xc3,
                                       0x68, 0xf3, 0x55, 0xd8, 0x95, 0x93});

const void* const* table(const CUuuid& id) {
    const void* found = nullptr;
    MUST(cu().cuGetExportTable(&found, &id));
    return static_cast<const void* const*>(found);
}

void integrity(Report& report) {
    MUST(cu().cuInit(0));
    const void* const* runtime = table(kRuntimeTable);
    const void* const* own = table(kIntegrityTable);
    int version = 0;
    MUST(cu().cuDriverGetVersion(&version));
    int count = 0;
    MUST(cu().cuDeviceGetCount(&count));
    std::vector<driver::DeviceIdentity> devices;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        CUdevice device = 0;
        driver::DeviceIdentity identity{};
        MUST(cu().cuDeviceGet(&device, ordinal));
        MUST(cu().cuDeviceGetUuid(&identity.uuid, device));
        MUST(cu().cuDeviceGetAttribute(&identity.pci_domain, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID,
                                       device));
        MUST(cu().cuDeviceGetAttribute(&identity.pci_bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, device));
        MUST(cu().cuDeviceGetAttribute(&identity.pci_device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID,
                                       device));
        devices.push_back(identity);
    }
    using Ask = CUresult (*)(std::uint32_t, std::uint64_t, std::uint64_t*);
    const auto ask = reinterpret_cast<Ask>(reinterpret_cast<std::uintptr_t>(own[1]));
    constexpr std::uint32_t kRequested = 13002;
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    std::array<std::uint64_t, 2> answer{};
    const CUresult asked = ask(kRequested, now, answer.data());
    const driver::IntegrityFacts facts{
        static_cast<std::uint32_t>(version),      kRequested,
        static_cast<std::uint32_t>(::getpid()),   static_cast<std::uint32_t>(::pthread_self()),
        reinterpret_cast<std::uint64_t>(runtime), reinterpret_cast<std::uint64_t>(own),
        reinterpret_cast<std::uint64_t>(own[1]),  now};
    const driver::Digest wanted = driver::integrity_digest(facts, devices);
    const bool equal = std::memcmp(wanted.data(), answer.data(), wanted.size()) == 0;
    report.expect(asked == CUDA_SUCCESS && equal,
                  name_of(asked) + (equal ? ", the hash that cubar computes" : ", another hash"));
}

void export_tables(Report& report) {
    MUST(cu().cuInit(0));
    for (const CUuuid& id : {kRuntimeTable, kIntegrityTable}) {
        const auto bytes = reinterpret_cast<std::uint64_t>(table(id)[0]);
        report.expect(bytes >= 16 && bytes < 65536, "slot 0 says " + number(bytes) + " bytes");
    }
    using Get = CUresult (*)(void**, CUcontext, void*);
    const Context context;
    const auto get =
        reinterpret_cast<Get>(reinterpret_cast<std::uintptr_t>(table(kStorageTable)[2]));
    void* value = nullptr;
    int key = 0;
    const CUresult missing = get(&value, nullptr, &key);
    report.expect(missing == CUDA_ERROR_INVALID_HANDLE,
                  "a missing context-local value: " + name_of(missing));
    const CUuuid unknown{};
    const void* nothing = nullptr;
    const CUresult denied = cu().cuGetExportTable(&nothing, &unknown);
    report.expect(denied != CUDA_SUCCESS && nothing == nullptr,
                  "an unknown UUID: " + name_of(denied));
}

void fork_child(Report& report) {
    const Context context;
    const CUdeviceptr memory = allocate(4096);
    const auto code = [](CUresult result) { return static_cast<int>(result) & 0xff; };
    const auto expect_not_initialised = [&](const char* what, int got) {
        report.expect(got == CUDA_ERROR_NOT_INITIALIZED,
                      std::string(what) + " in the child: error " + std::to_string(got));
    };
    expect_not_initialised("cuCtxSynchronize",
                           in_child([&] { return code(cu().cuCtxSynchronize()); }));
    expect_not_initialised("cuInit", in_child([&] { return code(cu().cuInit(0)); }));
    expect_not_initialised("cuMemFree", in_child([&] { return code(cu().cuMemFree(memory)); }));
    const CUresult after = cu().cuMemFree(memory);
    report.expect(after == CUDA_SUCCESS, "the parent afterwards: " + name_of(after));
}

/// A child made before this process touches the driver. It runs `body` and then waits for its end.
class Neighbour {
public:
    explicit Neighbour(const std::function<char()>& body) {
        int from[2];
        if (::pipe(from) != 0) throw std::runtime_error("no pipe");
        child_ = ::fork();
        if (child_ == 0) {
            const char said = body();
            if (::write(from[1], &said, 1) == 1) ::pause();
            ::_exit(1);
        }
        ::close(from[1]);
        pipe_ = from[0];
    }
    Neighbour(const Neighbour&) = delete;
    Neighbour& operator=(const Neighbour&) = delete;
    ~Neighbour() {
        kill();
        ::close(pipe_);
    }

    char said() const {
        char text = 0;
        return ::read(pipe_, &text, 1) == 1 ? text : '\0';
    }
    void kill() {
        if (child_ <= 0) return;
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
        child_ = -1;
    }

private:
    pid_t child_ = -1;
    int pipe_ = -1;
};

char result_letter(CUresult result, CUresult wanted) {
    return result == wanted ? 'y' : 'n';
}

void fault_is_private(Report& report) {
    const Neighbour neighbour([] {
        const Context context;
        const Kernels kernels;
        MUST(launch(kernels.get("store"), nullptr, 1, std::uint64_t{0x1000}));
        return result_letter(cu().cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    });
    const Context context;
    const Kernels kernels;
    report.expect(neighbour.said() == 'y', "another process faulted");
    const CUdeviceptr word = allocate(4);
    MUST(launch(kernels.get("fill"), nullptr, 1, word, 1u, 5u));
    const CUresult after = cu().cuCtxSynchronize();
    report.expect(after == CUDA_SUCCESS, "this one afterwards: " + name_of(after));
}

void death_frees(Report& report) {
    constexpr std::size_t kBytes = std::size_t{256} << 20;
    Neighbour neighbour([] {
        const Context context;
        allocate(kBytes);
        return 'y';
    });
    const Context context;
    report.expect(neighbour.said() == 'y', "another process allocated 256 MiB");
    std::size_t before = 0, after = 0, total = 0;
    MUST(cu().cuMemGetInfo(&before, &total));
    const auto begin = std::chrono::steady_clock::now();
    neighbour.kill();
    const bool back = comes_true([&] {
        return cu().cuMemGetInfo(&after, &total) == CUDA_SUCCESS && after >= before + kBytes;
    });
    const auto took =
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    report.expect(back, number((after - before) >> 20) + " MiB more are free after SIGKILL, " +
                            number(static_cast<std::uint64_t>(took.count())) + " ms later");
}

void several_contexts(Report& report) {
    const Context primary;
    const Kernels kernels;
    CUcontext other = nullptr;
    MUST(cu().cuCtxCreate(&other, nullptr, 0, primary.device()));
    MUST(cu().cuCtxSetCurrent(primary.handle()));
    Held held(kernels, make_stream(CU_STREAM_NON_BLOCKING));
    MUST(cu().cuCtxSetCurrent(other));
    Attempt idle([] { return cu().cuCtxSynchronize(); });
    const bool idle_returned = idle.returned(kAtOnce);
    MUST(cu().cuCtxSetCurrent(primary.handle()));
    Attempt busy([] { return cu().cuCtxSynchronize(); });
    const bool busy_returned = busy.returned(kWatched);
    held.release();
    report.expect(idle_returned && idle.result() == CUDA_SUCCESS,
                  "the idle context's cuCtxSynchronize does not wait for the busy one");
    report.expect(!busy_returned && busy.result() == CUDA_SUCCESS, "the busy one's does");
}

constexpr Probe kProbes[] = {
    {"driver_version", Asked::kEverywhere, "the driver is of CUDA 13 or newer and loads lazily",
     "The driver version reported is the smaller of the host's and the one described.", version},
    {"cold_start", Asked::kHost, "cuInit and a context together take less than 3 s",
     "Cold start is measured against ollama's 3 s.", cold_start},
    {"device_attributes", Asked::kHost,
     "registered memory has one address on both sides, and streams write 64-bit values",
     "every device attribute has a rule (host's value, or overridden with the reason)", attributes},
    {"visible_devices", Asked::kEverywhere, "an empty CUDA_VISIBLE_DEVICES hides every device",
     "No function pretends.", visible_devices},
    {"proc_address", Asked::kEverywhere,
     "an unknown name gives null, NOT_FOUND and a status; versions are exact",
     "What is not there returns CUDA_ERROR_NOT_SUPPORTED, is not found by cuGetProcAddress",
     proc_address},
    {"proc_address_too_new", Asked::kNvidia,
     "a version newer than the driver's is an invalid value",
     "A generator makes ... the version table behind cuGetProcAddress", proc_address_too_new},
    {"export_table_integrity", Asked::kEverywhere,
     "the driver answers cudart's integrity question with the hash that cubar's library computes",
     "driver/: symbol table, cuGetProcAddress, export tables, integrity", integrity},
    {"export_tables", Asked::kEverywhere,
     "slot 0 is the table's size; a missing context-local value is INVALID_HANDLE",
     "driver/: symbol table, cuGetProcAddress, export tables, integrity", export_tables},
    {"fork", Asked::kEverywhere, "in a forked child every call gives NOT_INITIALIZED",
     "A forked child never uses its parent's channel.", fork_child},
    {"fault_is_private", Asked::kNvidia, "a fault in one process leaves others alone",
     "one worker process per session: its context, its faults and its memory die with it",
     fault_is_private},
    {"death_frees", Asked::kNvidia, "device memory is back within 2 s of SIGKILL",
     "one worker process per session: its context, its faults and its memory die with it",
     death_frees},
    {"several_contexts", Asked::kEverywhere, "cuCtxSynchronize waits for the current context alone",
     "Per-thread CUDA state is kept in the guest: current context, ...", several_contexts},
};

}  // namespace

std::span<const Probe> process_probes() {
    return kProbes;
}

}  // namespace cubar::probe
