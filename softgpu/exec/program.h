// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/exec/dim3.h"
#include "softgpu/exec/memory_map.h"

namespace cubar::softgpu::ptx {
struct Module;
}

namespace cubar::softgpu::exec {

struct ParameterLayout {
    uint32_t offset;  // in the parameter buffer
    uint32_t size;
    uint32_t align;
};

/// What the directives of an .entry say; known without looking into its body.
struct KernelInfo {
    std::string name;
    std::vector<ParameterLayout> parameters;
    uint32_t parameter_bytes = 0;           // the whole buffer, padding between parameters included
    Dim3 max_threads{0, 0, 0};              // .maxntid; zeros where it is absent
    Dim3 required_threads{0, 0, 0};         // .reqntid; zeros where it is absent
    Dim3 required_cluster{0, 0, 0};         // .reqnctapercluster; likewise
    bool needs_cluster = false;             // .explicitcluster: a launch says which, or the kernel
    uint32_t max_threads_per_block = 1024;  // the product of the above, or 1024
    uint32_t min_blocks_per_sm = 0;         // .minnctapersm
    uint32_t max_registers = 0;             // .maxnreg
    uint32_t line = 0;
};

/// What only the body tells; see Program::prepare.
struct KernelUsage {
    uint32_t registers = 0;      // per thread, an estimate from liveness, 16..255
    uint32_t static_shared = 0;  // bytes per block
    uint32_t local = 0;          // bytes per thread, without recursion
    uint32_t constant = 0;       // bytes of the module's .const variables
    uint32_t instructions = 0;   // in the kernel itself
};

/// A module-scope .global or .const variable.
struct Variable {
    std::string name;
    uint64_t address = 0;
    uint64_t size = 0;
    bool constant = false;
};

/// Where a program's variables live. By default ordinary memory of this process.
struct VariableStorage {
    /// At least `size` zeroed bytes at a multiple of `align`, or null when memory is exhausted.
    std::function<std::byte*(uint64_t size, uint64_t align)> allocate;
    std::function<void(std::byte* address, uint64_t size)> release;
};

class Kernel;
struct Image;  // the decoded functions; softgpu/exec/image.h

/// A PTX module ready to execute: its variables laid out and initialised, its functions decoded
/// when they are first needed. Thread-safe after load(). Lives until the last grid that runs it
/// has ended (grids hold a reference).
class Program {
public:
    /// Null when the module cannot be laid out; `log` then says why, with the line. `map` must
    /// outlive the program; each variable is entered there as a range of its own.
    [[nodiscard]] static std::shared_ptr<Program> load(std::unique_ptr<ptx::Module> module,
                                                       MemoryMap& map, std::string& log,
                                                       VariableStorage storage = {});
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    /// In the order of the PTX text.
    [[nodiscard]] const std::vector<const Kernel*>& kernels() const;
    /// Null when there is none of that name. Owned by the program.
    [[nodiscard]] const Kernel* kernel(std::string_view name) const;
    [[nodiscard]] const KernelInfo& info(const Kernel& kernel) const;

    [[nodiscard]] const std::vector<Variable>& variables() const;
    [[nodiscard]] const Variable* variable(std::string_view name) const;

    /// Parses and decodes the kernel and all that it calls, once; later calls return the same
    /// answer. False when an instruction is lacking or malformed: `log` gets one line for each,
    /// "line N: ...".
    [[nodiscard]] bool prepare(const Kernel& kernel, std::string& log);
    /// After a prepare() that returned true.
    [[nodiscard]] KernelUsage usage(const Kernel& kernel) const;

    [[nodiscard]] Image& image() const { return *image_; }

private:
    explicit Program(std::unique_ptr<Image> image);

    std::unique_ptr<Image> image_;
};

}  // namespace cubar::softgpu::exec
