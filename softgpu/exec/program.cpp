// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/program.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "softgpu/exec/image.h"
#include "softgpu/ptx/ast.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::exec {
namespace {

using ptx::Space;

constexpr uint64_t kBlockAlign = 256;
constexpr uint32_t kRegistersPerBlock = 65536;
// What the ABI and addresses take besides the program's own values.
constexpr uint32_t kReservedRegisters = 8;

bool is_stored(const ptx::Variable& variable) {
    return (variable.space == Space::kGlobal || variable.space == Space::kConst) &&
           variable.linkage != ptx::Linkage::kExtern && variable.size != 0;
}

/// Sums up the deepest chain of calls; nullopt when the chain has no end.
class StackDepth {
public:
    explicit StackDepth(const KernelCode& kernel) : kernel_(kernel) {}

    bool measure(uint32_t index, uint64_t& bytes) {
        const auto known = done_.find(index);
        if (known != done_.end()) {
            bytes = known->second;
            return true;
        }
        if (!open_.insert(index).second) return false;
        const FunctionCode& code = *kernel_.functions.at(index);
        uint64_t deepest = 0;
        bool bounded = !code.calls_indirectly;
        for (const CallSite& site : code.call_sites) {
            if (site.callee == CallSite::kIndirect || site.builtin != Builtin::kNone) continue;
            uint64_t callee = 0;
            bounded = measure(site.callee, callee) && bounded;
            deepest = std::max(deepest, callee);
        }
        open_.erase(index);
        bytes = code.frame_bytes + deepest;
        if (bounded) done_[index] = bytes;
        return bounded;
    }

private:
    const KernelCode& kernel_;
    std::set<uint32_t> open_;
    std::map<uint32_t, uint64_t> done_;
};

class Loader {
public:
    Loader(Image& image, std::string& log) : image_(image), log_(log) {}

    bool run() { return lay_out() && initialise() && add_kernels(); }

private:
    bool fail(uint32_t line, const std::string& reason) {
        log_ += "line " + std::to_string(line) + ": " + reason + "\n";
        return false;
    }

    bool lay_out() {
        const auto& variables = image_.module->variables;
        std::vector<uint64_t> offsets(variables.size(), 0);
        for (size_t index = 0; index < variables.size(); ++index) {
            const ptx::Variable& variable = variables[index];
            if (!is_stored(variable)) continue;
            uint64_t& end =
                variable.space == Space::kConst ? image_.constant_bytes : image_.global_bytes;
            end = align_up(end, std::max<uint64_t>(variable.align, 16));
            offsets[index] = end;
            end += variable.size;
        }
        if (!allocate(image_.global_block, image_.global_bytes) ||
            !allocate(image_.constant_block, image_.constant_bytes)) {
            return fail(1, "there is not enough memory for the module's variables");
        }
        image_.addresses.assign(variables.size(), 0);
        for (size_t index = 0; index < variables.size(); ++index) {
            const ptx::Variable& variable = variables[index];
            if (!is_stored(variable)) continue;
            const bool constant = variable.space == Space::kConst;
            std::byte* const block = constant ? image_.constant_block : image_.global_block;
            const auto address = reinterpret_cast<uint64_t>(block) + offsets[index];
            if (!image_.map.add(address, variable.size)) {
                return fail(variable.line, "the place of " + variable.name + " is taken");
            }
            image_.addresses[index] = address;
            image_.variables.push_back({variable.name, address, variable.size, constant});
        }
        for (size_t index = 0; index < image_.variables.size(); ++index) {
            image_.variable_by_name[image_.variables[index].name] = index;
        }
        return true;
    }

    bool allocate(std::byte*& block, uint64_t bytes) {
        if (bytes == 0) return true;
        block = image_.storage.allocate(bytes, kBlockAlign);
        return block != nullptr;
    }

    bool initialise() {
        const auto& variables = image_.module->variables;
        for (size_t index = 0; index < variables.size(); ++index) {
            const ptx::Variable& variable = variables[index];
            if (!is_stored(variable)) continue;
            auto* const to = reinterpret_cast<std::byte*>(image_.addresses[index]);
            if (!variable.initial.empty()) {
                std::memcpy(to, variable.initial.data(), variable.initial.size());
            }
            for (const ptx::Relocation& relocation : variable.relocations) {
                uint64_t value = 0;
                if (relocation.function != ptx::kNoIndex) {
                    value = function_address(relocation.function);
                } else if (relocation.variable != ptx::kNoIndex) {
                    value = image_.addresses[relocation.variable];
                    if (value == 0) {
                        return fail(variable.line, "the initialiser of " + variable.name +
                                                       " names a variable without an address");
                    }
                }
                value = (value + uint64_t(relocation.addend)) >> relocation.shift;
                std::memcpy(to + relocation.offset, &value, relocation.size);
            }
        }
        return true;
    }

    bool add_kernels() {
        const auto& functions = image_.module->functions;
        for (uint32_t index = 0; index < functions.size(); ++index) {
            const ptx::Function& function = functions[index];
            if (function.kind != ptx::FunctionKind::kEntry || !function.is_defined) continue;
            auto kernel = std::make_unique<Kernel>();
            kernel->index = index;
            describe(function, kernel->info);
            image_.kernels.push_back(std::move(kernel));
            Kernel* const added = image_.kernels.back().get();
            image_.kernel_list.push_back(added);
            image_.by_name[added->info.name] = added;
        }
        return true;
    }

    static void describe(const ptx::Function& function, KernelInfo& info) {
        info.name = function.name;
        info.line = function.line;
        for (const ptx::Variable& parameter : function.parameters) {
            info.parameters.push_back({uint32_t(parameter.offset), uint32_t(parameter.size),
                                       std::max(parameter.align, 1u)});
        }
        info.parameter_bytes = uint32_t(function.parameter_size);
        const ptx::Directives& directives = function.directives;
        info.max_threads = {directives.maxntid[0], directives.maxntid[1], directives.maxntid[2]};
        info.needs_cluster = directives.explicit_cluster;
        const auto& cluster = directives.reqnctapercluster;
        if (cluster[0] != 0) {
            info.required_cluster = {cluster[0], std::max(cluster[1], 1u),
                                     std::max(cluster[2], 1u)};
        }
        info.required_threads = {directives.reqntid[0], directives.reqntid[1],
                                 directives.reqntid[2]};
        info.min_blocks_per_sm = directives.minnctapersm;
        info.max_registers = directives.maxnreg;
        for (const Dim3& limit : {info.required_threads, info.max_threads}) {
            if (limit.x == 0) continue;
            const uint64_t threads =
                uint64_t{limit.x} * std::max(limit.y, 1u) * std::max(limit.z, 1u);
            info.max_threads_per_block = uint32_t(std::min<uint64_t>(threads, 1024));
            break;
        }
    }

    Image& image_;
    std::string& log_;
};

VariableStorage process_memory() {
    VariableStorage storage;
    storage.allocate = [](uint64_t size, uint64_t align) -> std::byte* {
        void* const memory = std::aligned_alloc(align, align_up(size, align));
        if (memory != nullptr) std::memset(memory, 0, align_up(size, align));
        return static_cast<std::byte*>(memory);
    };
    storage.release = [](std::byte* memory, uint64_t) { std::free(memory); };
    return storage;
}

/// Functions that a call through a pointer may reach: those whose addresses variables hold.
std::vector<uint32_t> functions_in_variables(const ptx::Module& module) {
    std::vector<uint32_t> found;
    for (const ptx::Variable& variable : module.variables) {
        for (const ptx::Relocation& relocation : variable.relocations) {
            if (relocation.function != ptx::kNoIndex) found.push_back(relocation.function);
        }
    }
    return found;
}

std::unique_ptr<KernelCode> decode_kernel(Image& image, const Kernel& kernel, std::string& log) {
    auto code = std::make_unique<KernelCode>();
    const ptx::Function& function = image.module->functions[kernel.index];
    if (function.directives.blocks_are_clusters) {
        log += "line " + std::to_string(function.line) + ": " + function.name +
               " counts its grid in clusters (.blocksareclusters), which is not supported\n";
        return nullptr;
    }
    if (!place_shared(image, *code, kernel.index, log)) return nullptr;
    if (!decode_function(image, *code, kernel.index, log)) return nullptr;
    const auto calls_indirectly = [&] {
        return std::any_of(code->functions.begin(), code->functions.end(),
                           [](const auto& f) { return f.second->calls_indirectly; });
    };
    if (calls_indirectly()) {
        for (const uint32_t index : functions_in_variables(*image.module)) {
            if (!image.module->functions[index].is_defined) continue;
            if (!place_shared(image, *code, index, log)) return nullptr;
            if (!decode_function(image, *code, index, log)) return nullptr;
        }
    }
    code->entry = code->functions.at(kernel.index).get();
    code->recursive = !StackDepth(*code).measure(kernel.index, code->local_bytes) ||
                      std::any_of(code->functions.begin(), code->functions.end(),
                                  [](const auto& f) { return f.second->allocates; });
    return code;
}

}  // namespace

DeviceHeap::~DeviceHeap() {
    for (const auto& allocation : allocations_) {
        static_cast<void>(map_.remove(allocation.first));
    }
}

uint64_t DeviceHeap::allocate(uint64_t size) {
    const std::lock_guard lock(mutex_);
    if (size == 0 || size > kCapacity - used_) return 0;
    AlignedBytes memory = allocate_aligned(size);
    const auto address = reinterpret_cast<uint64_t>(memory.get());
    if (!map_.add(address, size)) return 0;
    used_ += size;
    allocations_[address] = {std::move(memory), size};
    return address;
}

bool DeviceHeap::release(uint64_t address) {
    const std::lock_guard lock(mutex_);
    const auto at = allocations_.find(address);
    if (at == allocations_.end() || !map_.remove(address)) return false;
    used_ -= at->second.second;
    allocations_.erase(at);
    return true;
}

bool place_shared(Image& image, KernelCode& kernel, uint32_t index, std::string& log) {
    std::set<uint32_t> seen;
    std::vector<uint32_t> pending{index};
    while (!pending.empty()) {
        const uint32_t next = pending.back();
        pending.pop_back();
        const ptx::Function& function = image.module->functions[next];
        if (!seen.insert(next).second || !function.is_defined) continue;
        ptx::Log parse_log;
        const ptx::Body* body = ptx::parse_body(*image.module, next, parse_log);
        if (body == nullptr) {
            log += parse_log.text;
            return false;
        }
        const auto place = [&](const ptx::Variable& variable) {
            kernel.static_shared = align_up(kernel.static_shared, std::max(variable.align, 1u));
            const uint64_t offset = kernel.static_shared;
            kernel.static_shared += variable.size;
            return offset;
        };
        for (const uint32_t used : body->variables_used) {
            const ptx::Variable& variable = image.module->variables[used];
            if (variable.space != Space::kShared || kernel.shared_offsets.count(used) != 0)
                continue;
            if (variable.is_unsized) {
                kernel.dynamic_align = std::max<uint64_t>(kernel.dynamic_align, variable.align);
                continue;
            }
            kernel.shared_offsets[used] = place(variable);
        }
        for (uint32_t local = 0; local < body->variables.size(); ++local) {
            const ptx::Variable& variable = body->variables[local];
            if (variable.space != Space::kShared || kernel.body_shared.count({next, local}) != 0) {
                continue;
            }
            if (variable.is_unsized) {
                kernel.dynamic_align = std::max<uint64_t>(kernel.dynamic_align, variable.align);
                continue;
            }
            kernel.body_shared[{next, local}] = place(variable);
        }
        pending.insert(pending.end(), body->functions_used.begin(), body->functions_used.end());
    }
    return true;
}

const FunctionCode* Image::find_function(KernelCode& kernel, uint32_t index) {
    const std::lock_guard lock(mutex);
    if (index >= module->functions.size() || !module->functions[index].is_defined) return nullptr;
    std::string log;
    if (kernel.functions.count(index) == 0 && !decode_function(*this, kernel, index, log)) {
        return nullptr;
    }
    return kernel.functions.at(index).get();
}

Image::~Image() {
    for (const Variable& variable : variables) {
        static_cast<void>(map.remove(variable.address));
    }
    if (global_block != nullptr) storage.release(global_block, global_bytes);
    if (constant_block != nullptr) storage.release(constant_block, constant_bytes);
}

Program::Program(std::unique_ptr<Image> image) : image_(std::move(image)) {}
Program::~Program() = default;

std::shared_ptr<Program> Program::load(std::unique_ptr<ptx::Module> module, MemoryMap& map,
                                       std::string& log, VariableStorage storage) {
    auto image = std::make_unique<Image>(map);
    image->module = std::move(module);
    image->storage = storage.allocate ? std::move(storage) : process_memory();
    if (!Loader(*image, log).run()) return nullptr;
    return std::shared_ptr<Program>(new Program(std::move(image)));
}

const std::vector<const Kernel*>& Program::kernels() const {
    return image_->kernel_list;
}

const Kernel* Program::kernel(std::string_view name) const {
    const auto at = image_->by_name.find(name);
    return at != image_->by_name.end() ? at->second : nullptr;
}

const KernelInfo& Program::info(const Kernel& kernel) const {
    return kernel.info;
}

const std::vector<Variable>& Program::variables() const {
    return image_->variables;
}

const Variable* Program::variable(std::string_view name) const {
    const auto at = image_->variable_by_name.find(name);
    return at != image_->variable_by_name.end() ? &image_->variables[at->second] : nullptr;
}

bool Program::prepare(const Kernel& kernel, std::string& log) {
    const std::lock_guard lock(image_->mutex);
    Kernel& own = const_cast<Kernel&>(kernel);  // all kernels are the image's, none is const
    if (!own.prepared) {
        own.code = decode_kernel(*image_, own, own.log);
        own.prepared = true;
    }
    log += own.log;
    return own.code != nullptr;
}

KernelUsage Program::usage(const Kernel& kernel) const {
    const std::lock_guard lock(image_->mutex);
    KernelUsage usage;
    if (kernel.code == nullptr) return usage;
    const KernelCode& code = *kernel.code;
    uint32_t registers = 0;
    for (const auto& [index, function] : code.functions) {
        registers = std::max(registers, function->registers);
    }
    // A compiler would spill what does not fit a block of the largest size that was declared.
    const uint32_t threads =
        kernel.info.max_threads_per_block * std::max(kernel.info.min_blocks_per_sm, 1u);
    uint32_t most = std::clamp(kRegistersPerBlock / threads / 8 * 8, 16u, 255u);
    if (kernel.info.max_registers != 0) most = std::clamp(kernel.info.max_registers, 16u, most);
    usage.registers = std::clamp(registers + kReservedRegisters, 16u, most);
    usage.static_shared = uint32_t(code.static_shared);
    usage.local = uint32_t(code.local_bytes);
    usage.constant = uint32_t(image_->constant_bytes);
    usage.instructions = uint32_t(code.entry->code.size());
    return usage;
}

}  // namespace cubar::softgpu::exec
