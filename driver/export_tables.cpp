// SPDX-License-Identifier: Apache-2.0
// The tables are known by what they do; NVIDIA publishes neither names nor layouts. What is here
// was observed of cudart 13.0, cuBLAS 13 and cuBLASLt 13 (see also ZLUDA's public dark_api).
#include "driver/export_tables.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <new>
#include <utility>
#include <vector>

#include "driver/log.h"

namespace cubar::driver {
namespace {

using Slot = const void*;

// Set by the first get_export_table() (release); a slot can only be called by someone who got
// a table from it (acquire, though the table's pointer already carries the order).
constinit std::atomic<const ExportHooks*> active_hooks{nullptr};

const ExportHooks& hooks() noexcept {
    return *active_hooks.load(std::memory_order_acquire);
}

CUresult resolve(CUcontext& context) noexcept {
    if (context == nullptr) {
        const CUresult result = hooks().current_context(&context);
        if (result != CUDA_SUCCESS) {
            return result;
        }
    }
    return context == nullptr ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

// The first eight digits of a table's UUID: its name in the log, and what tells tables apart here.
enum class TableId : std::uint32_t {
    kEarly = 0xf8cff951,            // fetched before cuInit, never called
    kRuntime = 0x6bd5fb6c,          // cudart's own entry points
    kCallbackBuffers = 0xa094798c,  // buffers of the profiling tools
    kToolsContext = 0x42d85a81,     // thread-local state of the tools
    kContextStorage = 0xc693336e,   // context-local storage
    kContextChecks = 0x263e8860,    // checks of a context's state
    kIntegrity = 0xd4082055,        // the integrity hash
    kStreamObjects = 0x21318c60,    // identities of contexts and streams, for cuBLAS
    kHopper = 0x1734dc26,           // cublasLt on sm_90
};

// ---- slots that are known --------------------------------------------------------------------

CUresult runtime_primary_context(CUcontext* context, CUdevice device) {
    return context == nullptr ? CUDA_ERROR_INVALID_VALUE : hooks().primary_context(device, context);
}

// Callbacks of profiling tools that nobody can attach here: always zero.
constinit std::array<std::byte, 1024> large_buffer{};
constinit std::array<std::byte, 14> small_buffer{};

template <auto& kBuffer>
void callback_buffer(void** buffer, std::size_t* size) {
    if (buffer != nullptr && size != nullptr) {
        *buffer = kBuffer.data();
        *size = kBuffer.size();
    }
}

CUresult tools_context(CUcontext* context) {
    if (context == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *context = nullptr;  // no tool has a context of its own
    return CUDA_SUCCESS;
}

CUresult find_storage(CUcontext& context, std::shared_ptr<ContextStorage>& storage) noexcept {
    if (const CUresult result = resolve(context); result != CUDA_SUCCESS) {
        return result;
    }
    storage = hooks().context_storage(context);
    return storage ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult storage_put(CUcontext context, void* key, void* value,
                     ContextStorage::Destructor destructor) {
    std::shared_ptr<ContextStorage> storage;
    const CUresult result = find_storage(context, storage);
    if (result == CUDA_SUCCESS) {
        storage->put(key, value, destructor);
    }
    return result;
}

CUresult storage_delete(CUcontext context, void* key) {
    std::shared_ptr<ContextStorage> storage;
    const CUresult result = find_storage(context, storage);
    if (result != CUDA_SUCCESS) {
        return result;
    }
    return storage->remove(key) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult storage_get(void** value, CUcontext context, void* key) {
    if (value == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    std::shared_ptr<ContextStorage> storage;
    const CUresult result = find_storage(context, storage);
    if (result != CUDA_SUCCESS) {
        return result;
    }
    return storage->get(key, value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// Asks for bits that no driver has been seen to set.
CUresult context_check(CUcontext, std::uint32_t* bits, const void**) {
    if (bits == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *bits = 0;
    return CUDA_SUCCESS;
}

std::uint32_t context_check_global() {
    return 0;
}

CUresult integrity(std::uint32_t version, std::uint64_t unix_seconds, std::uint64_t answer[2]);

CUresult context_object(CUcontext context, std::uint64_t* object) {
    if (object == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = resolve(context);
    return result == CUDA_SUCCESS ? hooks().context_id(context, object) : result;
}

// A stream's object is its handle, so that the id of a stream destroyed in between is an error and
// not another's.
CUresult stream_object(CUcontext context, CUstream stream, std::uint64_t* object) {
    if (object == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = resolve(context);
    if (result == CUDA_SUCCESS) {
        *object = reinterpret_cast<std::uintptr_t>(stream == nullptr ? CU_STREAM_LEGACY : stream);
    }
    return result;
}

CUresult stream_object_id(CUcontext context, std::uint64_t object, std::uint64_t* id) {
    if (id == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = resolve(context);
    return result == CUDA_SUCCESS
               ? hooks().stream_id(context, reinterpret_cast<CUstream>(object), id)
               : result;
}

CUresult hopper_pair(std::uint64_t* first, std::uint64_t* second) {
    if (first == nullptr || second == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *first = 0;
    *second = 0;
    return CUDA_SUCCESS;
}

// ---- the tables ------------------------------------------------------------------------------

template <TableId kTable, std::size_t kIndex>
CUresult unknown_slot() {
    CUBAR_LOG(kWarn, "export table %08x: slot %zu was called, which is not known",
              static_cast<unsigned>(kTable), kIndex);
    return CUDA_ERROR_NOT_SUPPORTED;
}

struct Known {
    std::size_t index;
    Slot function;
};

template <typename Function>
Slot slot(Function* function) noexcept {
    return reinterpret_cast<Slot>(function);
}

// Every table begins with its size in bytes, save the context storage's.
template <TableId kTable, std::size_t... kIndices>
std::array<Slot, sizeof...(kIndices)> unknown_slots(std::index_sequence<kIndices...>) noexcept {
    return {slot(&unknown_slot<kTable, kIndices>)...};
}

template <TableId kTable, std::size_t kSize>
class Table {
public:
    Table(std::initializer_list<Known> known, bool sized) noexcept
        : slots_(unknown_slots<kTable>(std::make_index_sequence<kSize>{})) {
        if (sized) {
            slots_[0] = reinterpret_cast<Slot>(sizeof slots_);
        }
        for (const Known& entry : known) {
            slots_[entry.index] = entry.function;
        }
    }

    const Slot* data() const noexcept { return slots_.data(); }

private:
    std::array<Slot, kSize> slots_;
};

struct Tables {
    Table<TableId::kEarly, 8> early{{}, true};
    Table<TableId::kRuntime, 13> runtime{{{2, slot(&runtime_primary_context)}}, true};
    Table<TableId::kCallbackBuffers, 7> callback_buffers{
        {{2, slot(&callback_buffer<large_buffer>)}, {6, slot(&callback_buffer<small_buffer>)}},
        true};
    Table<TableId::kToolsContext, 4> tools_context{{{2, slot(&driver::tools_context)}}, true};
    Table<TableId::kContextStorage, 4> context_storage{
        {{0, slot(&storage_put)}, {1, slot(&storage_delete)}, {2, slot(&storage_get)}}, false};
    Table<TableId::kContextChecks, 4> context_checks{
        {{2, slot(&context_check)}, {3, slot(&context_check_global)}}, true};
    Table<TableId::kIntegrity, 3> integrity{{{1, slot(&driver::integrity)}}, true};
    Table<TableId::kStreamObjects, 64> stream_objects{
        {{4, slot(&context_object)}, {39, slot(&stream_object_id)}, {51, slot(&stream_object)}},
        true};
    Table<TableId::kHopper, 8> hopper{{{4, slot(&hopper_pair)}}, true};
};

// Built at the first request: the library has no initialisers. Never destroyed, for cudart calls
// until the process is gone.
// pthread_once, for a guarded static would bring in the exception machinery of libsupc++.
pthread_once_t tables_once = PTHREAD_ONCE_INIT;
alignas(Tables) std::byte tables_storage[sizeof(Tables)];

const Tables& tables() noexcept {
    pthread_once(&tables_once, [] { new (tables_storage) Tables; });
    return *std::launder(reinterpret_cast<const Tables*>(tables_storage));
}

struct Listed {
    std::array<unsigned char, 16> uuid;
    const Slot* (*table)() noexcept;
};

constexpr std::array kListed{
    Listed{{0xf8, 0xcf, 0xf9, 0x51, 0x21, 0x46, 0x8b, 0x4e, 0xb9, 0xe2, 0xfb, 0x46, 0x9e, 0x7c,
            0x0d, 0xd9},
           []() noexcept { return tables().early.data(); }},
    Listed{{0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a, 0x89, 0x87, 0xd9, 0x39, 0x12, 0xfd,
            0x9d, 0xf9},
           []() noexcept { return tables().runtime.data(); }},
    Listed{{0xa0, 0x94, 0x79, 0x8c, 0x2e, 0x74, 0x2e, 0x74, 0x93, 0xf2, 0x08, 0x00, 0x20, 0x0c,
            0x0a, 0x66},
           []() noexcept { return tables().callback_buffers.data(); }},
    Listed{{0x42, 0xd8, 0x5a, 0x81, 0x23, 0xf6, 0xcb, 0x47, 0x82, 0x98, 0xf6, 0xe7, 0x8a, 0x3a,
            0xec, 0xdc},
           []() noexcept { return tables().tools_context.data(); }},
    Listed{{0xc6, 0x93, 0x33, 0x6e, 0x11, 0x21, 0xdf, 0x11, 0xa8, 0xc3, 0x68, 0xf3, 0x55, 0xd8,
            0x95, 0x93},
           []() noexcept { return tables().context_storage.data(); }},
    Listed{{0x26, 0x3e, 0x88, 0x60, 0x7c, 0xd2, 0x61, 0x43, 0x92, 0xf6, 0xbb, 0xd5, 0x00, 0x6d,
            0xfa, 0x7e},
           []() noexcept { return tables().context_checks.data(); }},
    Listed{{0xd4, 0x08, 0x20, 0x55, 0xbd, 0xe6, 0x70, 0x4b, 0x8d, 0x34, 0xba, 0x12, 0x3c, 0x66,
            0xe1, 0xf2},
           []() noexcept { return tables().integrity.data(); }},
    Listed{{0x21, 0x31, 0x8c, 0x60, 0x97, 0x14, 0x32, 0x48, 0x8c, 0xa6, 0x41, 0xff, 0x73, 0x24,
            0xc8, 0xf2},
           []() noexcept { return tables().stream_objects.data(); }},
    Listed{{0x17, 0x34, 0xdc, 0x26, 0x80, 0x0d, 0x47, 0x45, 0x87, 0x26, 0xc0, 0xf1, 0xe7, 0xdd,
            0x8b, 0xca},
           []() noexcept { return tables().hopper.data(); }},
};

CUresult integrity(std::uint32_t version, std::uint64_t unix_seconds, std::uint64_t answer[2]) {
    if (answer == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    switch (version % 10) {
        case 0:
            answer[0] = 0x3341181c03cb675c;
            answer[1] = 0x8ed383aa1f4cd1e8;
            return CUDA_SUCCESS;
        case 1:
            answer[0] = 0x1841181c03cb675c;
            answer[1] = 0x8ed383aa1f4cd1e8;
            return CUDA_SUCCESS;
        default:
            break;
    }
    const Slot* const own = tables().integrity.data();
    const IntegrityFacts facts{
        .driver_version = static_cast<std::uint32_t>(hooks().driver_version()),
        .requested_version = version,
        .process = static_cast<std::uint32_t>(getpid()),
        .thread = static_cast<std::uint32_t>(pthread_self()),
        .runtime_table = reinterpret_cast<std::uintptr_t>(tables().runtime.data()),
        .integrity_table = reinterpret_cast<std::uintptr_t>(own),
        .integrity_function = reinterpret_cast<std::uintptr_t>(own[1]),
        .unix_seconds = unix_seconds,
    };
    std::vector<DeviceIdentity> devices(hooks().device_count());
    for (unsigned ordinal = 0; ordinal < devices.size(); ++ordinal) {
        devices[ordinal] = hooks().device_identity(ordinal);
    }
    const Digest digest = integrity_digest(facts, devices);
    std::memcpy(answer, digest.data(), digest.size());
    return CUDA_SUCCESS;
}

void log_unknown(const CUuuid& id) noexcept {
    std::array<unsigned char, 16> b;
    std::memcpy(b.data(), id.bytes, b.size());
    CUBAR_LOG(kWarn,
              "cuGetExportTable: no table %02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
              "%02x%02x%02x%02x%02x%02x",
              b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
              b[13], b[14], b[15]);
}

}  // namespace

CUresult get_export_table(const void** table, const CUuuid* id, const ExportHooks& hooks) noexcept {
    if (table == nullptr || id == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    active_hooks.store(&hooks, std::memory_order_release);
    const auto found = std::ranges::find_if(kListed, [id](const Listed& listed) {
        return std::memcmp(listed.uuid.data(), id->bytes, listed.uuid.size()) == 0;
    });
    if (found == kListed.end()) {
        *table = nullptr;
        log_unknown(*id);
        return CUDA_ERROR_INVALID_VALUE;
    }
    *table = found->table();
    return CUDA_SUCCESS;
}

}  // namespace cubar::driver
