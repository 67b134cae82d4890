// SPDX-License-Identifier: Apache-2.0
#include "driver/symbols.h"

#include <algorithm>

#include "driver/log.h"

// Weak: softgpu defines its own, since its gaps are aliases, which live where their target does.
extern "C" [[gnu::weak]] CUresult cubar_driver_gap() {
    return CUDA_ERROR_NOT_SUPPORTED;
}

namespace cubar::driver {
namespace {

struct ByName {
    bool operator()(const Symbol& symbol, std::string_view name) const noexcept {
        return symbol.name < name;
    }
    bool operator()(std::string_view name, const Symbol& symbol) const noexcept {
        return name < symbol.name;
    }
};

bool is_gap(const Symbol& symbol) noexcept {
    return symbol.function == nullptr ||
           symbol.function == reinterpret_cast<void*>(&cubar_driver_gap);
}

// Newer first; of equally new ones the per-thread variant.
bool precedes(const Symbol& a, const Symbol& b) noexcept {
    return a.version != b.version ? a.version < b.version : !a.per_thread && b.per_thread;
}

}  // namespace

Lookup find(std::span<const Symbol> table, std::string_view name, int cuda_version,
            bool per_thread) noexcept {
    const auto [first, last] = std::equal_range(table.begin(), table.end(), name, ByName{});
    const Symbol* best = nullptr;
    bool known = false;
    for (auto symbol = first; symbol != last; ++symbol) {
        if (symbol->per_thread && !per_thread) {
            continue;
        }
        known = known || !is_gap(*symbol);
        if (symbol->version <= cuda_version && (best == nullptr || precedes(*best, *symbol))) {
            best = &*symbol;
        }
    }
    if (best != nullptr && !is_gap(*best)) {
        return {best->function, CU_GET_PROC_ADDRESS_SUCCESS};
    }
    return {nullptr, best == nullptr && known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                              : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND};
}

CUresult get_proc_address_v2(const char* name, void** function, int cuda_version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* status) noexcept {
    constexpr cuuint64_t kNewestFlag = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    if (name == nullptr || function == nullptr || flags > kNewestFlag) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const Lookup lookup = find(symbol_table(), name, cuda_version,
                               flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    *function = lookup.function;
    if (status != nullptr) {
        *status = lookup.status;
    }
    if (lookup.function != nullptr) {
        return CUDA_SUCCESS;
    }
    CUBAR_LOG(kDebug, "cuGetProcAddress: no \"%s\" at version %d, flags %llu: %s", name,
              cuda_version, static_cast<unsigned long long>(flags),
              lookup.status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND ? "not there" : "newer only");
    return CUDA_ERROR_NOT_FOUND;
}

CUresult get_proc_address(const char* name, void** function, int cuda_version,
                          cuuint64_t flags) noexcept {
    return get_proc_address_v2(name, function, cuda_version, flags, nullptr);
}

}  // namespace cubar::driver
