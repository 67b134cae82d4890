// SPDX-License-Identifier: Apache-2.0
// What a Program consists of once decoded. Internal to softgpu/exec.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "softgpu/exec/image_form.h"
#include "softgpu/exec/matrix.h"
#include "softgpu/exec/program.h"
#include "softgpu/exec/video.h"
#include "softgpu/exec/warp.h"
#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::exec {

inline uint64_t align_up(uint64_t value, uint64_t align) {
    return (value + align - 1) / align * align;
}

struct FreeAligned {
    void operator()(char* memory) const;
};
using AlignedBytes = std::unique_ptr<char[], FreeAligned>;
/// Aligned for the widest vectors; not initialised.
AlignedBytes allocate_aligned(size_t bytes);

/// A value that a call hands over: from a place in one frame's local memory or from a slot, to the
/// like in the other frame.
struct Transfer {
    bool from_slot = false;
    bool to_slot = false;
    uint64_t from = 0;
    uint64_t to = 0;
    uint32_t bytes = 0;
};

/// Functions that the interpreter itself provides.
enum class Builtin : uint8_t { kNone, kPrintf, kAssertFail, kMalloc, kFree, kSetCondition };

struct FunctionCode;

struct CallSite {
    uint32_t callee = 0;  // index in the module, or kIndirect
    static constexpr uint32_t kIndirect = 0xffffffff;
    Slot target = 0;  // the address, for an indirect call
    Builtin builtin = Builtin::kNone;
    const FunctionCode* code = nullptr;  // the callee's, when it is known
    // Places in the caller; for the callee's side see FunctionCode.
    std::vector<Transfer> arguments;
    std::vector<Transfer> results;
};

/// A function ready to execute.
struct FunctionCode {
    std::string name;
    uint32_t index = 0;
    bool is_entry = false;
    std::vector<Insn> code;
    AlignedBytes pool;
    size_t pool_bytes = 0;
    uint32_t register_bytes = 0;  // of one warp
    uint32_t registers = 0;       // 32-bit registers per thread that are live at once at most
    // Its part of local memory, per lane: variables, then parameters, results, call parameters.
    uint64_t frame_bytes = 0;
    std::vector<Transfer> parameters;  // `to` is where each formal parameter lies
    std::vector<Transfer> results;     // `from` is where each result lies
    std::vector<CallSite> call_sites;
    std::vector<std::vector<const Insn*>> branch_tables;
    std::deque<Multiplication> multiplications;
    std::deque<FragmentAccess> fragment_accesses;
    std::deque<ScalarVideoForm> video_forms;
    std::deque<ImageForm> image_forms;
    bool calls_indirectly = false;
    bool allocates = false;  // on its stack, at run time
};

/// A kernel with all that it calls. Functions are decoded for each kernel anew, since .shared
/// variables lie at different places in different kernels.
struct KernelCode {
    FunctionCode* entry = nullptr;
    std::map<uint32_t, std::unique_ptr<FunctionCode>> functions;
    std::unordered_map<uint32_t, uint64_t> shared_offsets;          // of module-scope variables
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> body_shared;  // function, its variable
    uint64_t static_shared = 0;
    uint64_t dynamic_align = 1;
    uint64_t local_bytes = 0;  // of the deepest chain of calls, recursion aside
    bool recursive = false;    // or calls indirectly or allocates: depth unknown
    bool uses_reserved_shared = false;
    std::vector<uint32_t> dynamic_variables;

    /// Where extern shared variables begin.
    [[nodiscard]] uint64_t dynamic_offset() const {
        return (static_shared + dynamic_align - 1) / dynamic_align * dynamic_align;
    }
};

class Kernel {
public:
    KernelInfo info;
    uint32_t index = 0;  // in Module::functions
    // Under Image::mutex until prepared.
    bool prepared = false;
    std::string log;
    std::unique_ptr<KernelCode> code;  // null when it could not be decoded
};

/// Device malloc and free: allocations of this process, entered in the memory map. Thread-safe.
class DeviceHeap {
public:
    /// CU_LIMIT_MALLOC_HEAP_SIZE's default.
    static constexpr uint64_t kCapacity = uint64_t{8} << 20;

    explicit DeviceHeap(MemoryMap& map) : map_(map) {}
    ~DeviceHeap();
    DeviceHeap(const DeviceHeap&) = delete;
    DeviceHeap& operator=(const DeviceHeap&) = delete;

    /// 0 when the heap is exhausted, as in CUDA.
    uint64_t allocate(uint64_t size);
    /// False when nothing was allocated there.
    bool release(uint64_t address);

private:
    MemoryMap& map_;
    std::mutex mutex_;
    uint64_t used_ = 0;
    std::map<uint64_t, std::pair<AlignedBytes, uint64_t>> allocations_;
};

struct Image {
    explicit Image(MemoryMap& memory) : map(memory), heap(memory) {}
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;

    std::unique_ptr<ptx::Module> module;
    MemoryMap& map;
    DeviceHeap heap;
    VariableStorage storage;
    std::mutex mutex;  // over parsing and decoding

    std::vector<std::unique_ptr<Kernel>> kernels;
    std::vector<const Kernel*> kernel_list;
    std::unordered_map<std::string_view, Kernel*> by_name;

    std::vector<uint64_t> addresses;  // of module variables that have storage; else 0
    std::vector<Variable> variables;
    std::unordered_map<std::string_view, size_t> variable_by_name;
    std::byte* global_block = nullptr;
    uint64_t global_bytes = 0;
    std::byte* constant_block = nullptr;
    uint64_t constant_bytes = 0;

    ~Image();

    /// The function's code within `kernel`, decoded now if it was not; null if it cannot be. For
    /// calls through pointers that prepare() did not foresee. Thread-safe.
    const FunctionCode* find_function(KernelCode& kernel, uint32_t index);
};

inline uint64_t function_address(uint32_t index) {
    return kFunctionWindow + uint64_t{kFunctionStride} * (index + 1);
}

/// Decodes `index` into `kernel` and, transitively, what it calls by name. Errors go to `log`, one
/// line each.
bool decode_function(Image& image, KernelCode& kernel, uint32_t index, std::string& log);

/// Places .shared variables of `index` and of all that it names; parses bodies. False: see `log`.
bool place_shared(Image& image, KernelCode& kernel, uint32_t index, std::string& log);

}  // namespace cubar::softgpu::exec
