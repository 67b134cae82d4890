// SPDX-License-Identifier: Apache-2.0
#include "fake_gpu.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "transport/local_protocol.h"

namespace cubar::guest::test {

using transport::test::Reaction;

namespace {

/// Where nothing is mapped: a place for device addresses.
std::uint64_t find_hole(std::size_t bytes) {
    void* hole =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(hole != MAP_FAILED);
    munmap(hole, bytes);
    return (reinterpret_cast<std::uint64_t>(hole) + kGranuleBytes - 1) & ~(kGranuleBytes - 1);
}

constexpr std::size_t kHole = std::size_t{16} << 30;

}  // namespace

FakeGpu& FakeGpu::the() {
    // Never destroyed: the library's session ends with the process.
    static FakeGpu* const gpu = new FakeGpu;
    return *gpu;
}

FakeGpu::FakeGpu() : host_({.channels = 1, .arena_bytes = kArenaGranules * kGranuleBytes}) {
    Facts& facts = host_.facts();
    facts.device_count = kDevices;
    for (unsigned number = 0; number < kDevices; ++number) describe(facts.device[number], number);
    next_address_ = find_hole(kHole);
    cubard_ = std::make_unique<transport::test::FakeCubard>(
        host_, [this](const transport::Record& record) { return handle(record); });
    serve_socket();
    REQUIRE(cuInit(0) == CUDA_SUCCESS);
}

void FakeGpu::describe(DeviceFacts& facts, unsigned number) {
    std::strcpy(facts.name, "a GPU that is none");
    facts.uuid[0] = static_cast<std::uint8_t>(0x10 + number);
    facts.total_bytes = std::uint64_t{8} << 30;
    const auto set = [&](CUdevice_attribute attribute, int value) {
        facts.attribute[attribute] = value;
        facts.attribute_known[attribute] = 1;
    };
    set(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024);
    set(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024);
    set(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024);
    set(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64);
    set(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 0x7fff'ffff);
    set(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535);
    set(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535);
    set(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32);
    set(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 4);
    set(CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1);
    set(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1);
    set(CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 1);
}

// One greeting, as transport/local_protocol.h has it.
void FakeGpu::serve_socket() {
    const std::string path = "/tmp/cubar-libcuda-test-" + std::to_string(getpid());
    listener_ = transport::Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_.get(), 1) == 0);
    setenv("CUBAR_DEVICE", ("local:" + path).c_str(), 1);
    std::thread([this, path] {
        const transport::Descriptor client(accept(listener_.get(), nullptr, nullptr));
        unlink(path.c_str());
        const std::vector<transport::Descriptor> passed = host_.pass_on();
        transport::LocalHello hello{transport::kLocalMagic, transport::kLocalVersion,
                                    static_cast<std::uint32_t>(passed.size()), 0};
        iovec part{&hello, sizeof hello};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * transport::kLocalMaxDescriptors)]{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * passed.size());
        cmsghdr* head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * passed.size());
        for (std::size_t i = 0; i < passed.size(); ++i) {
            const int number = passed[i].get();
            std::memcpy(CMSG_DATA(head) + i * sizeof number, &number, sizeof number);
        }
        sendmsg(client.get(), &message, MSG_NOSIGNAL);
    }).detach();
}

void FakeGpu::complete_at_once(bool complete) {
    const std::lock_guard lock(mutex_);
    complete_at_once_ = complete;
}

void FakeGpu::defer_error(CUresult error, CUcontext context, Position position) {
    ChannelControl& control = host_.channel(0).control;
    control.error_context.store(reinterpret_cast<std::uint64_t>(context));
    control.error_position.store(position);
    control.error_code.store(static_cast<std::uint32_t>(error));
}

std::byte* FakeGpu::memory(CUdeviceptr address, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto it = memory_.upper_bound(address);
    if (it == memory_.begin()) return nullptr;
    --it;
    const std::uint64_t offset = address - it->first;
    const std::size_t size = it->second.size();
    return offset <= size && bytes <= size - offset ? it->second.data() + offset : nullptr;
}

std::size_t FakeGpu::allocations() const {
    const std::lock_guard lock(mutex_);
    return memory_.size();
}

std::size_t FakeGpu::granules() const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count(leased_, true));
}

void FakeGpu::reset() {
    const std::lock_guard lock(mutex_);
    answers_.clear();
    sent_.clear();
    complete_at_once_ = true;
    defer_error(CUDA_SUCCESS, nullptr, 0);
}

void FakeGpu::free_all() {
    const std::lock_guard lock(mutex_);
    memory_.clear();
}

Reaction FakeGpu::handle(const transport::Record& record) {
    const Sent sent{record.header(), record.end(), {record.body().begin(), record.body().end()}};
    const std::lock_guard lock(mutex_);
    sent_.push_back(sent);
    const auto answer = answers_.find(static_cast<Opcode>(sent.header.opcode));
    Reaction reaction = answer != answers_.end() ? answer->second(sent) : execute(sent);
    reaction.answer = sent.header.reply_slot != kNoReply;
    finish(sent);
    return reaction;
}

void FakeGpu::write_fence(std::uint32_t fence, Position position) {
    if (fence < kFences) host_.channel(0).fence[fence].store(position, std::memory_order_release);
}

void FakeGpu::finish(const Sent& sent) {
    if (!complete_at_once_) return;
    const auto fence =
        fence_of_.find(sent.header.stream != 0 ? sent.header.stream : sent.header.context);
    if (fence != fence_of_.end()) write_fence(fence->second, sent.end);
}

std::byte* FakeGpu::find(std::uint64_t place, bool in_arena, std::size_t bytes) {
    if (in_arena) return host_.arena() + place;
    if (std::byte* own = memory(place, bytes)) return own;
    return reinterpret_cast<std::byte*>(place);  // pinned: at the same address on both sides
}

void FakeGpu::copy_box(const wire::copy_3d::Request& box) {
    for (std::uint64_t slice = 0; slice < box.depth; ++slice) {
        for (std::uint64_t row = 0; row < box.height; ++row) {
            const std::uint64_t target =
                box.destination + slice * box.destination_slice + row * box.destination_pitch;
            const std::uint64_t source =
                box.source + slice * box.source_slice + row * box.source_pitch;
            std::memmove(find(target, box.destination_in_arena != 0, box.width_bytes),
                         find(source, box.source_in_arena != 0, box.width_bytes), box.width_bytes);
        }
    }
}

Reaction FakeGpu::execute(const Sent& sent) {
    switch (static_cast<Opcode>(sent.header.opcode)) {
        case Opcode::cuCtxCreate_v2: {
            wire::cuCtxCreate_v2::Reply reply{};
            reply.context = ContextHandle(1, next_handle());
            reply.id = handles_;
            reply.legacy_fence = fences_++ % kStreamFences;
            fence_of_[reply.context.bits()] = reply.legacy_fence;
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuDevicePrimaryCtxRetain: {
            wire::cuDevicePrimaryCtxRetain::Reply reply{};
            reply.context = ContextHandle(1, next_handle());
            reply.legacy_fence = fences_++ % kStreamFences;
            fence_of_[reply.context.bits()] = reply.legacy_fence;
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuStreamCreateWithPriority: {
            wire::cuStreamCreateWithPriority::Reply reply{};
            reply.stream = StreamHandle(1, next_handle());
            reply.id = handles_;
            reply.fence = fences_++ % kStreamFences;
            fence_of_[reply.stream.bits()] = reply.fence;
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::thread_stream: {
            wire::thread_stream::Reply reply{};
            reply.stream = StreamHandle(1, next_handle());
            reply.fence = fences_++ % kStreamFences;
            fence_of_[reply.stream.bits()] = reply.fence;
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuEventCreate: {
            wire::cuEventCreate::Reply reply{};
            reply.phEvent = EventHandle(1, next_handle());
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuModuleLoadDataEx: {
            wire::cuModuleLoadDataEx::Reply reply{};
            reply.module = ModuleHandle(1, next_handle());
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuModuleGetFunction: {
            wire::cuModuleGetFunction::Reply reply{};
            reply.function = FunctionHandle(1, next_handle());
            reply.parameter_count = 1;
            reply.parameter_bytes = 4;
            reply.parameter[0] = 4;
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuMemAlloc_v2: {
            wire::cuMemAlloc_v2::Reply reply{};
            reply.bytes = sent.as<wire::cuMemAlloc_v2>().bytes;
            reply.address = next_address_;
            next_address_ += (reply.bytes + kGranuleBytes - 1) / kGranuleBytes * kGranuleBytes;
            memory_[reply.address].resize(reply.bytes);
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::cuMemFree_v2:
            return {memory_.erase(sent.as<wire::cuMemFree_v2>().address) != 0
                        ? CUDA_SUCCESS
                        : CUDA_ERROR_INVALID_VALUE,
                    {},
                    true};
        case Opcode::arena_lease: {
            const auto request = sent.as<wire::arena_lease>();
            const std::size_t count = (request.bytes + kGranuleBytes - 1) / kGranuleBytes;
            const auto place = std::search_n(leased_.begin(), leased_.end(),
                                             static_cast<std::ptrdiff_t>(count), false);
            if (place == leased_.end()) return {CUDA_ERROR_OUT_OF_MEMORY, {}, true};
            std::fill_n(place, count, true);
            wire::arena_lease::Reply reply{};
            reply.offset = static_cast<std::uint64_t>(place - leased_.begin()) * kGranuleBytes;
            reply.bytes = count * kGranuleBytes;
            return with_body(CUDA_SUCCESS, reply);
        }
        case Opcode::arena_return: {
            const auto request = sent.as<wire::arena_return>();
            const auto first = static_cast<std::ptrdiff_t>(request.offset / kGranuleBytes);
            std::fill_n(leased_.begin() + first, request.bytes / kGranuleBytes, false);
            return {};
        }
        case Opcode::copy_in: {
            const auto copy = sent.as<wire::copy_in>();
            std::memcpy(find(copy.destination, false, copy.bytes), host_.arena() + copy.source,
                        copy.bytes);
            write_fence(copy.fence, sent.end);
            return {};
        }
        case Opcode::copy_out: {
            const auto copy = sent.as<wire::copy_out>();
            std::memcpy(host_.arena() + copy.destination, find(copy.source, false, copy.bytes),
                        copy.bytes);
            write_fence(copy.fence, sent.end);
            return {};
        }
        case Opcode::copy_inline: {
            const auto copy = sent.as<wire::copy_inline>();
            std::memcpy(find(copy.destination, false, copy.payload_bytes),
                        sent.payload<wire::copy_inline>().data(), copy.payload_bytes);
            return {};
        }
        case Opcode::copy_3d: {
            const auto copy = sent.as<wire::copy_3d>();
            copy_box(copy);
            write_fence(copy.fence, sent.end);
            return {};
        }
        default:
            return {};
    }
}

Scene::Scene(int device) {
    gpu.reset();
    REQUIRE(cuCtxCreate_v2(&context, 0, device) == CUDA_SUCCESS);
}

Scene::~Scene() {
    gpu.reset();
    // Waits for the copies that the test left behind.
    if (context != nullptr) cuCtxDestroy_v2(context);
    gpu.free_all();
}

CUstream make_stream(unsigned flags) {
    CUstream stream = nullptr;
    REQUIRE(cuStreamCreate(&stream, flags) == CUDA_SUCCESS);
    return stream;
}

CUdeviceptr allocate(std::size_t bytes) {
    CUdeviceptr address = 0;
    REQUIRE(cuMemAlloc_v2(&address, bytes) == CUDA_SUCCESS);
    return address;
}

CUfunction make_function() {
    CUmodule module = nullptr;
    CUfunction function = nullptr;
    REQUIRE(cuModuleLoadData(&module, ".version 8.0\n") == CUDA_SUCCESS);
    REQUIRE(cuModuleGetFunction(&function, module, "kernel") == CUDA_SUCCESS);
    return function;
}

}  // namespace cubar::guest::test
