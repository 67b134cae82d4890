// SPDX-License-Identifier: Apache-2.0
// The library as a program has it, with a host made of threads in the same process: a socket that
// hands out the device, a cubard, and a worker that executes what these tests need on ordinary
// memory, or what a test says instead.
#pragma once

#include <cuda.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "../transport/fake_host.h"
#include "cubar/wire.h"

namespace cubar::guest::test {

/// A record that the library sent.
struct Sent {
    RecordHeader header;
    Position end;
    std::vector<std::byte> body;

    template <typename W>
    typename W::Request as() const {
        typename W::Request request;
        REQUIRE(body.size() >= sizeof request);
        std::memcpy(&request, body.data(), sizeof request);
        return request;
    }
    template <typename W>
    std::span<const std::byte> payload() const {
        return std::span(body).subspan(sizeof(typename W::Request));
    }
};

/// One for the whole process, since the library begins one session and keeps it.
class FakeGpu {
public:
    static FakeGpu& the();

    static constexpr unsigned kDevices = 2;
    static constexpr std::uint64_t kArenaGranules = 24;

    /// What the worker answers from now on, in place of what it does by itself. It runs in the
    /// worker's thread.
    template <typename W>
    void on(std::function<CUresult(const typename W::Request&, typename W::Reply&)> answer) {
        const std::lock_guard lock(mutex_);
        answers_[W::kOpcode] = [answer = std::move(answer)](const Sent& sent) {
            typename W::Reply reply{};
            const CUresult result = answer(sent.as<W>(), reply);
            return with_body(result, reply);
        };
    }
    template <typename W>
    void fail(CUresult error) {
        on<W>([error](const typename W::Request&, typename W::Reply&) { return error; });
    }

    /// The records of this kind since the scene began.
    template <typename W>
    std::vector<Sent> sent() const {
        const std::lock_guard lock(mutex_);
        std::vector<Sent> found;
        for (const Sent& one : sent_) {
            if (one.header.opcode == static_cast<std::uint32_t>(W::kOpcode)) found.push_back(one);
        }
        return found;
    }
    template <typename W>
    std::size_t count() const {
        return sent<W>().size();
    }

    /// Whether streams write their fences as soon as a record has come. Where they do not, whoever
    /// waits must ask.
    void complete_at_once(bool complete);
    /// Writes an error into the channel's error word, as the worker does for records that nobody
    /// waits for; CUDA_SUCCESS clears it.
    void defer_error(CUresult error, CUcontext context, Position position);

    /// Bytes of a device allocation.
    std::byte* memory(CUdeviceptr address, std::size_t bytes);
    std::size_t allocations() const;
    /// Granules that this process has of the arena.
    std::size_t granules() const;

    /// Back to how it was when it was new, but for the session and the allocations.
    void reset();
    /// Ends all allocations. No copy may be under way.
    void free_all();

private:
    using Answer = std::function<transport::test::Reaction(const Sent&)>;

    FakeGpu();
    template <typename Reply>
    static transport::test::Reaction with_body(CUresult result, const Reply& reply) {
        const auto bytes = std::as_bytes(std::span(&reply, 1));
        return {static_cast<std::uint32_t>(result), {bytes.begin(), bytes.end()}, true};
    }
    void describe(DeviceFacts& facts, unsigned number);
    void serve_socket();
    transport::test::Reaction handle(const transport::Record& record);
    transport::test::Reaction execute(const Sent& sent);
    std::byte* find(std::uint64_t place, bool in_arena, std::size_t bytes);
    void copy_box(const wire::copy_3d::Request& box);
    void write_fence(std::uint32_t fence, Position position);
    void finish(const Sent& sent);
    std::uint32_t next_handle() { return ++handles_; }

    transport::test::HostMemory host_;
    mutable std::recursive_mutex mutex_;
    std::map<Opcode, Answer> answers_;
    std::vector<Sent> sent_;
    bool complete_at_once_ = true;
    std::map<std::uint64_t, std::vector<std::byte>> memory_;  // by device address
    std::uint64_t next_address_ = 0;
    std::vector<bool> leased_ = std::vector<bool>(kArenaGranules);
    std::uint32_t handles_ = 0;
    std::uint32_t fences_ = 0;
    std::map<std::uint64_t, std::uint32_t> fence_of_;  // by context's or stream's handle
    transport::Descriptor listener_;
    std::unique_ptr<transport::test::FakeCubard> cubard_;
};

/// A test's own context on a host that is as new.
class Scene {
public:
    explicit Scene(int device = 0);
    ~Scene();
    Scene(const Scene&) = delete;
    Scene& operator=(const Scene&) = delete;

    FakeGpu& gpu = FakeGpu::the();
    CUcontext context = nullptr;
};

/// A stream of the scene's context, until it goes.
CUstream make_stream(unsigned flags = CU_STREAM_NON_BLOCKING);
CUdeviceptr allocate(std::size_t bytes);
/// A function of a module, whose only parameter is an int.
CUfunction make_function();

}  // namespace cubar::guest::test
