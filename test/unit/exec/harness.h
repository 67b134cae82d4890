// SPDX-License-Identifier: Apache-2.0
// Runs PTX text on the interpreter and waits for it.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/exec/launch.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::exec::test {

/// Memory that kernels may touch, exactly `count` elements.
template <class T>
class Buffer {
public:
    Buffer(MemoryMap& map, size_t count, T value = T{}) : map_(map), data_(count, value) {
        if (!map_.add(address(), count * sizeof(T))) throw std::runtime_error("address taken");
    }
    ~Buffer() { static_cast<void>(map_.remove(address())); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    [[nodiscard]] uint64_t address() const { return reinterpret_cast<uint64_t>(data_.data()); }
    T& operator[](size_t index) { return data_[index]; }
    [[nodiscard]] const std::vector<T>& values() const { return data_; }

private:
    MemoryMap& map_;
    std::vector<T> data_;
};

/// Kernel parameters, laid out as C does.
class Parameters {
public:
    template <class T>
    Parameters& add(T value) {
        bytes_.resize((bytes_.size() + sizeof(T) - 1) / sizeof(T) * sizeof(T));
        bytes_.resize(bytes_.size() + sizeof(T));
        std::memcpy(&bytes_[bytes_.size() - sizeof(T)], &value, sizeof(T));
        return *this;
    }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

/// A loaded module with an executor of its own.
class Machine {
public:
    explicit Machine(std::string_view body, unsigned threads = 2) : executor(threads) {
        std::string text = ".version 8.0\n.target sm_90\n.address_size 64\n";
        text += body;
        ptx::Log parse_log;
        auto module = ptx::parse_module(text, parse_log);
        if (!module) throw std::runtime_error(parse_log.text);
        program = Program::load(std::move(module), map, log);
        if (!program) throw std::runtime_error(log);
    }

    /// Waits for the end of the grid.
    std::optional<Fault> run(std::string_view name, Dim3 grid, Dim3 block,
                             const Parameters& parameters, uint32_t dynamic_shared = 0) {
        LaunchConfig config;
        config.grid = grid;
        config.block = block;
        config.dynamic_shared = dynamic_shared;
        return run(name, config, parameters);
    }

    std::optional<Fault> run(std::string_view name, LaunchConfig config,
                             const Parameters& parameters) {
        std::optional<Fault> result;
        start(name, config, parameters, [&](const std::optional<Fault>& fault) {
            result = fault;
        }).wait();
        return result;
    }

    Grid start(std::string_view name, LaunchConfig config, const Parameters& parameters,
               Executor::Completion completion) {
        const Kernel* const kernel = program->kernel(name);
        if (kernel == nullptr) throw std::runtime_error("no kernel " + std::string(name));
        if (!program->prepare(*kernel, log)) throw std::runtime_error(log);
        config.parameters = parameters.bytes();
        config.print = &print;
        return executor.launch(program, *kernel, config, map, std::move(completion));
    }

    MemoryMap map;
    PrintBuffer print;
    std::string log;
    std::shared_ptr<Program> program;
    Executor executor;
};

}  // namespace cubar::softgpu::exec::test
