// SPDX-License-Identifier: Apache-2.0
// Launches: one record each, built in the ring, with CUDA's synchronous errors found here.
#include "libcuda/launch.h"

#include "libcuda/capture_rules.h"
#include "libcuda/kernel.h"
#include "libcuda/occupancy.h"

namespace cubar::guest {
namespace {

struct Shape {
    std::uint32_t grid[3];
    std::uint32_t block[3];
    std::uint32_t shared_bytes;
};

/// Where an application's parameters lie: one pointer for each, or all in a buffer.
struct Arguments {
    void** each = nullptr;
    const void* buffer = nullptr;
    std::size_t buffer_bytes = 0;
};

// From 1 to the limit; one comparison, since 0 − 1 is beyond every limit.
inline bool fits(std::uint32_t value, std::int32_t limit) {
    return value - 1 < static_cast<std::uint32_t>(limit);
}

/// What the runtime calls cudaErrorInvalidConfiguration. cuda.h has no name for it, yet cudart
/// hands on what the driver returns when it launches a CUkernel; whoever launches a CUfunction gets
/// CUDA_ERROR_INVALID_VALUE, as documented.
constexpr auto kInvalidConfiguration = static_cast<CUresult>(9);

CUresult bad_dimensions(CUfunction function) {
    return AnyHandle(bits_of(function)).kind() == Kind::kKernel ? kInvalidConfiguration
                                                                : CUDA_ERROR_INVALID_VALUE;
}

[[gnu::always_inline]] inline CUresult check_shape(const DeviceFacts& device,
                                                   const KernelFacts& kernel, CUfunction function,
                                                   const Shape& shape) {
    const auto& limit = device.attribute;
    if (!fits(shape.grid[0], limit[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X]) ||
        !fits(shape.grid[1], limit[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y]) ||
        !fits(shape.grid[2], limit[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z]) ||
        !fits(shape.block[0], limit[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X]) ||
        !fits(shape.block[1], limit[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y]) ||
        !fits(shape.block[2], limit[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z])) {
        return bad_dimensions(function);
    }
    // Each factor is at most 1024, so the product cannot overflow. A kernel allows no more than the
    // device. An attribute that was not told is INT_MIN and allows anything: the host will check.
    const std::uint32_t threads = shape.block[0] * shape.block[1] * shape.block[2];
    const auto most_threads = static_cast<std::uint32_t>(
        kernel.attribute[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK].load(std::memory_order_relaxed));
    const std::int32_t device_threads = limit[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK];
    if (threads > most_threads || most_threads > static_cast<std::uint32_t>(device_threads))
        [[unlikely]] {
        if (!fits(threads, device_threads)) return bad_dimensions(function);
        if (threads > most_threads) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    }
    const std::int32_t most_shared =
        kernel.attribute[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES].load(
            std::memory_order_relaxed);
    if (most_shared >= 0 && shape.shared_bytes > static_cast<std::uint32_t>(most_shared)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult read_extra(void** extra, Arguments& out) {
    bool sized = false;
    for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
        if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER) {
            out.buffer = extra[1];
        } else if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE && extra[1] != nullptr) {
            out.buffer_bytes = *static_cast<const std::size_t*>(extra[1]);
            sized = true;
        } else {
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return out.buffer != nullptr && sized ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/// All but the pointers themselves, which are looked at when they are used.
[[gnu::always_inline]] inline CUresult check_arguments(const KernelFacts& kernel, void** each,
                                                       void** extra, Arguments& out) {
    if (extra != nullptr) [[unlikely]] {
        if (each != nullptr) return CUDA_ERROR_INVALID_VALUE;
        if (kernel.parameter_bytes == 0) return CUDA_SUCCESS;
        Arguments buffer;
        CUBAR_TRY(read_extra(extra, buffer));
        out = buffer;
        return out.buffer_bytes >= kernel.parameter_bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
    if (each == nullptr && kernel.parameter_bytes != 0) return CUDA_ERROR_INVALID_VALUE;
    out.each = each;
    return CUDA_SUCCESS;
}

/// Writes parameters, each from where its pointer says; false: a pointer is null. Each byte is
/// stored at most once and none is read back: the ring may be write-combined. Gaps between
/// parameters keep whatever the ring held, which is this process's own. A function of its own,
/// since its loop is fast only if it has the registers to itself.
[[gnu::noinline]] bool gather(const KernelParameter* parameters, std::size_t count,
                              void* const* source, std::byte* block) {
    for (std::size_t i = 0; i < count; ++i) {
        const void* const value = source[i];
        if (value == nullptr) return false;
        std::byte* const target = block + parameters[i].offset;
        const std::size_t size = parameters[i].size;
        if (size == 8) [[likely]] {
            std::memcpy(target, value, 8);
        } else if (size == 4) [[likely]] {
            std::memcpy(target, value, 4);
        } else {
            std::memcpy(target, value, size);
        }
    }
    return true;
}

/// Writes the parameter block; false as above.
inline bool write_parameters(const KernelFacts& kernel, const Arguments& arguments,
                             std::byte* block) {
    if (arguments.buffer != nullptr) [[unlikely]] {
        std::memcpy(block, arguments.buffer, kernel.parameter_bytes);
        return true;
    }
    return gather(kernel.parameters.data(), kernel.parameters.size(), arguments.each, block);
}

CUresult after_launch(const Caller& caller, Stream& stream, const KernelFacts& kernel) {
    if (kernel.prints) [[unlikely]]
        note_printing(Caller(caller), stream);
    if (caller.process->launches_block() && !is_capturing(stream)) [[unlikely]] {
        return synchronize_on_host(Caller(caller), stream);
    }
    return CUDA_SUCCESS;
}

struct Launch {
    Caller caller;
    Callee callee;
    Stream* stream = nullptr;
    Arguments arguments;
};

// The usual cases of find_callee and find_stream, a live function and a live stream, without a
// call. Others get copies of what they need, so that the usual case keeps it in registers.

inline CUresult find_usual_callee(const Caller& caller, CUfunction value, Callee& out) {
    const FunctionHandle handle(bits_of(value));
    const Function* function = caller.session->functions.find(handle);
    if (function == nullptr || function->context != caller.context->handle) [[unlikely]] {
        const Caller copy = caller;
        Callee found;
        const CUresult result = find_callee(copy, value, found);
        out = found;
        return result;
    }
    out = {handle, function->facts};
    return CUDA_SUCCESS;
}

inline CUresult find_usual_stream(const Caller& caller, CUstream value, Stream*& out) {
    out = caller.session->streams.find(StreamHandle(bits_of(value)));
    if (out != nullptr) [[likely]]
        return CUDA_SUCCESS;
    const Caller copy = caller;
    Stream* found = nullptr;
    const CUresult result = find_stream(copy, value, found);
    out = found;
    return result;
}

[[gnu::always_inline]] inline CUresult prepare(CUfunction function, const Shape& shape,
                                               CUstream stream, void** each, void** extra,
                                               Launch& out) {
    CUBAR_TRY(enter(out.caller));
    CUBAR_TRY(find_usual_callee(out.caller, function, out.callee));
    CUBAR_TRY(find_usual_stream(out.caller, stream, out.stream));
    if (out.stream->context != out.caller.context->handle) return CUDA_ERROR_INVALID_HANDLE;
    CUBAR_TRY(check_shape(*out.caller.context->device_facts, *out.callee.facts, function, shape));
    CUBAR_TRY(check_arguments(*out.callee.facts, each, extra, out.arguments));
    return pace(out.caller, *out.stream);
}

/// Builds the record in place: request, then `before` (launch attributes), then the parameters.
/// `fill(request)` completes what is the kind's own.
template <typename W, typename Fill>
CUresult send(const Launch& launch, const Shape& shape, std::span<const std::byte> before,
              Fill&& fill) {
    using Request = typename W::Request;
    const KernelFacts& kernel = *launch.callee.facts;
    // enter() has just seen that this process is not a forked child.
    auto build = launch.caller.channel().ring().begin(sizeof(Request) + before.size() +
                                                      kernel.parameter_bytes);
    if (!build) return session_error(build.error());
    build.set_header({static_cast<std::uint32_t>(W::kOpcode), launch.caller.thread->number,
                      launch.stream->context.bits(), launch.stream->handle.bits()},
                     kNoReply);
    auto* request = ::new (build.body()) Request;
    request->function = launch.callee.function;
    for (int i = 0; i < 3; ++i) request->grid[i] = shape.grid[i];
    for (int i = 0; i < 3; ++i) request->block[i] = shape.block[i];
    request->shared_bytes = shape.shared_bytes;
    request->payload_bytes = static_cast<std::uint32_t>(before.size()) + kernel.parameter_bytes;
    fill(*request);
    std::byte* body = build.body() + sizeof(Request);
    if (!before.empty()) std::memcpy(body, before.data(), before.size());
    // An abandoned record was never sent.
    if (!write_parameters(kernel, launch.arguments, body + before.size())) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // Later positions come after the ring's lock, which is held: nobody has stored one yet.
    launch.stream->last.store(build.end(), std::memory_order_relaxed);
    build.commit();
    return after_launch(launch.caller, *launch.stream, kernel);
}

}  // namespace

CUresult gather_parameters(const KernelFacts& kernel, void** each, void** extra,
                           std::vector<std::byte>& block) {
    Arguments arguments;
    CUBAR_TRY(check_arguments(kernel, each, extra, arguments));
    block.assign(kernel.parameter_bytes, std::byte{0});
    return write_parameters(kernel, arguments, block.data()) ? CUDA_SUCCESS
                                                             : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                         unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                         unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                         void** parameters, void** extra) {
    const Shape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};
    Launch launch;
    CUBAR_TRY(prepare(function, shape, stream, parameters, extra, launch));
    return send<wire::cuLaunchKernel>(launch, shape, {}, [](wire::cuLaunchKernel::Request&) {});
}

CUBAR_API cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters,
                           void** extra) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (config->numAttrs == 0) {
        return cuLaunchKernel(function, config->gridDimX, config->gridDimY, config->gridDimZ,
                              config->blockDimX, config->blockDimY, config->blockDimZ,
                              config->sharedMemBytes, config->hStream, parameters, extra);
    }
    const Shape shape{{config->gridDimX, config->gridDimY, config->gridDimZ},
                      {config->blockDimX, config->blockDimY, config->blockDimZ},
                      config->sharedMemBytes};
    Launch launch;
    CUBAR_TRY(prepare(function, shape, config->hStream, parameters, extra, launch));
    LaunchAttributes attributes;
    CUBAR_TRY(attributes.encode(launch.caller.session->events, *config));
    CUBAR_TRY(attributes.check_cluster(*launch.caller.context->device_facts, *launch.callee.facts,
                                       shape.grid));
    if (attributes.cooperative()) {
        // Dimensions that no device has were refused above: no product overflows.
        CUBAR_TRY(check_cooperative(launch.caller, launch.callee,
                                    std::uint64_t{shape.grid[0]} * shape.grid[1] * shape.grid[2],
                                    shape.block[0] * shape.block[1] * shape.block[2],
                                    shape.shared_bytes));
    }
    return send<wire::cuLaunchKernelEx>(
        launch, shape, attributes.bytes(), [&](wire::cuLaunchKernelEx::Request& request) {
            request.parameter_bytes = launch.callee.facts->parameter_bytes;
            request.attribute_count = attributes.count();
            request.reserved_flags = 0;
        });
}

CUBAR_API cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                    unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                    unsigned int block_z, unsigned int shared_bytes,
                                    CUstream stream, void** parameters) {
    CUlaunchAttribute cooperative{};
    cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    cooperative.value.cooperative = 1;
    const CUlaunchConfig config{grid_x,  grid_y,       grid_z, block_x,      block_y,
                                block_z, shared_bytes, stream, &cooperative, 1};
    return cuLaunchKernelEx(&config, function, parameters, nullptr);
}
