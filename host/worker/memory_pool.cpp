// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/memory_pools.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

bool is_int(CUmemPool_attribute attribute) {
    return attribute == CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

/// Asks for one of the device's pools by `function(CUmemoryPool*, CUdevice)`.
template <typename Function>
CUresult find_pool(Session& session, Function* function, CUdevice device, MemoryPoolHandle& out) {
    CUmemoryPool pool = nullptr;
    CUBAR_TRY(ask(function, &pool, device));
    out = session.pools().handle_of(pool, device);
    return out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/// What stands for a stream among those in which memory was freed.
AnyHandle key_of(StreamHandle stream, ContextHandle context) {
    if (stream) return stream;
    return context;
}

/// A capture makes a node of a graph, which owns the memory; of the pool only the device counts.
bool is_captured(const Session& session, CUstream stream) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    return session.captures.any() &&
           (ask(session.driver().cuStreamIsCapturing, stream, &status) != CUDA_SUCCESS ||
            status != CU_STREAM_CAPTURE_STATUS_NONE);
}

CUresult allocate(Session& session, StreamHandle handle, MemoryPoolHandle pool, std::uint64_t bytes,
                  std::uint64_t& address, std::int32_t& device) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(handle, stream));
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(pool, object));
    CUdeviceptr made = 0;
    if (is_captured(session, stream)) {
        CUBAR_TRY(allocate_in_capture(session, stream, object.pool, object.device, bytes, made));
    } else {
        CUresult result = session.pools().allocate(pool, bytes, stream, made);
        if (result == CUDA_ERROR_OUT_OF_MEMORY && session.graph_memory().reclaim()) {
            result = session.pools().allocate(pool, bytes, stream, made);
        }
        CUBAR_TRY(result);
    }
    address = made;
    device = object.device;
    return CUDA_SUCCESS;
}

}  // namespace

CUresult handle_cuDeviceSetMemPool(Session& session, const transport::Record&,
                                   const wire::cuDeviceSetMemPool::Request& request,
                                   std::span<const std::byte>, wire::cuDeviceSetMemPool::Reply&) {
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(request.pool, object));
    return ask(session.driver().cuDeviceSetMemPool, request.device, object.pool);
}

CUresult handle_cuDeviceGetMemPool(Session& session, const transport::Record&,
                                   const wire::cuDeviceGetMemPool::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuDeviceGetMemPool::Reply& reply) {
    return find_pool(session, session.driver().cuDeviceGetMemPool, request.device, reply.pool);
}

CUresult handle_cuDeviceGetDefaultMemPool(Session& session, const transport::Record&,
                                          const wire::cuDeviceGetDefaultMemPool::Request& request,
                                          std::span<const std::byte>,
                                          wire::cuDeviceGetDefaultMemPool::Reply& reply) {
    return find_pool(session, session.driver().cuDeviceGetDefaultMemPool, request.device,
                     reply.pool);
}

CUresult handle_cuMemAllocAsync(Session& session, const transport::Record& record,
                                const wire::cuMemAllocAsync::Request& request,
                                std::span<const std::byte>, wire::cuMemAllocAsync::Reply& reply) {
    CUdevice device = 0;
    CUBAR_TRY(session.device_of(ContextHandle(record.header().context), device));
    MemoryPoolHandle pool;
    CUBAR_TRY(find_pool(session, session.driver().cuDeviceGetMemPool, device, pool));
    reply.pool = pool;
    return allocate(session, request.stream, pool, request.bytes, reply.address, reply.device);
}

CUresult handle_cuMemAllocFromPoolAsync(Session& session, const transport::Record&,
                                        const wire::cuMemAllocFromPoolAsync::Request& request,
                                        std::span<const std::byte>,
                                        wire::cuMemAllocFromPoolAsync::Reply& reply) {
    return allocate(session, request.stream, request.pool, request.bytes, reply.address,
                    reply.device);
}

CUresult handle_cuMemFreeAsync(Session& session, const transport::Record& record,
                               const wire::cuMemFreeAsync::Request& request,
                               std::span<const std::byte>, wire::cuMemFreeAsync::Reply&) {
    const StreamHandle handle(record.header().stream);
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(handle, stream));
    CUBAR_TRY(ask(session.driver().cuMemFreeAsync, request.address, stream));
    session.pools().freed_in(request.address,
                             key_of(handle, ContextHandle(record.header().context)));
    return CUDA_SUCCESS;
}

CUresult handle_cuMemPoolCreate(Session& session, const transport::Record&,
                                const wire::cuMemPoolCreate::Request& request,
                                std::span<const std::byte>, wire::cuMemPoolCreate::Reply& reply) {
    CUmemPoolProps asked{};
    asked.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    asked.location = {CU_MEM_LOCATION_TYPE_DEVICE, request.device};
    asked.maxSize = request.limit;
    CUmemoryPool pool = nullptr;
    CUBAR_TRY(
        ask(session.driver().cuMemPoolCreate, &pool, static_cast<const CUmemPoolProps*>(&asked)));
    reply.pool = session.pools().handle_of(pool, request.device);
    if (reply.pool) return CUDA_SUCCESS;
    ask(session.driver().cuMemPoolDestroy, pool);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuMemPoolDestroy(Session& session, const transport::Record&,
                                 const wire::cuMemPoolDestroy::Request& request,
                                 std::span<const std::byte>, wire::cuMemPoolDestroy::Reply&) {
    return session.pools().destroy(request.pool);
}

CUresult handle_cuMemPoolTrimTo(Session& session, const transport::Record&,
                                const wire::cuMemPoolTrimTo::Request& request,
                                std::span<const std::byte>, wire::cuMemPoolTrimTo::Reply&) {
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(request.pool, object));
    CUBAR_TRY(ask(session.driver().cuMemPoolTrimTo, object.pool, request.keep));
    session.pools().account();
    return CUDA_SUCCESS;
}

CUresult handle_cuMemPoolSetAttribute(Session& session, const transport::Record&,
                                      const wire::cuMemPoolSetAttribute::Request& request,
                                      std::span<const std::byte>,
                                      wire::cuMemPoolSetAttribute::Reply&) {
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(request.pool, object));
    const auto attribute = static_cast<CUmemPool_attribute>(request.attribute);
    int small = static_cast<int>(request.value);
    cuuint64_t large = request.value;
    return ask(session.driver().cuMemPoolSetAttribute, object.pool, attribute,
               is_int(attribute) ? static_cast<void*>(&small) : &large);
}

CUresult handle_cuMemPoolGetAttribute(Session& session, const transport::Record&,
                                      const wire::cuMemPoolGetAttribute::Request& request,
                                      std::span<const std::byte>,
                                      wire::cuMemPoolGetAttribute::Reply& reply) {
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(request.pool, object));
    const auto attribute = static_cast<CUmemPool_attribute>(request.attribute);
    int small = 0;
    cuuint64_t large = 0;
    CUBAR_TRY(ask(session.driver().cuMemPoolGetAttribute, object.pool, attribute,
                  is_int(attribute) ? static_cast<void*>(&small) : &large));
    reply.value = is_int(attribute) ? static_cast<std::uint64_t>(small) : large;
    return CUDA_SUCCESS;
}

CUresult handle_cuMemPoolSetAccess(Session& session, const transport::Record&,
                                   const wire::cuMemPoolSetAccess::Request& request,
                                   std::span<const std::byte>, wire::cuMemPoolSetAccess::Reply&) {
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(request.pool, object));
    CUmemAccessDesc wanted{};
    wanted.location = {CU_MEM_LOCATION_TYPE_DEVICE, request.device};
    wanted.flags = static_cast<CUmemAccess_flags>(request.access);
    return ask(session.driver().cuMemPoolSetAccess, object.pool,
               static_cast<const CUmemAccessDesc*>(&wanted), std::size_t{1});
}

CUresult handle_cuMemPoolGetAccess(Session& session, const transport::Record&,
                                   const wire::cuMemPoolGetAccess::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuMemPoolGetAccess::Reply& reply) {
    PoolObject object;
    CUBAR_TRY(session.pools().resolve(request.pool, object));
    CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, request.device};
    CUmemAccess_flags access{};
    CUBAR_TRY(ask(session.driver().cuMemPoolGetAccess, &access, object.pool, &location));
    reply.access = access;
    return CUDA_SUCCESS;
}

CUresult handle_pool_observe(Session& session, const transport::Record& record,
                             const wire::pool_observe::Request& request, std::span<const std::byte>,
                             wire::pool_observe::Reply& reply) {
    const Driver& driver = session.driver();
    const ContextHandle context(record.header().context);
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    CUBAR_TRY(request.whole_context != 0 ? ask(driver.cuCtxSynchronize)
                                         : ask(driver.cuStreamSynchronize, stream));
    const AnyHandle waited_for = key_of(request.stream, context);
    reply.again = session.pools().observed([&](AnyHandle freed_in) {
        if (freed_in == waited_for) return true;
        if (freed_in.kind() == Kind::kContext)
            return session.contexts.find(ContextHandle(freed_in.bits())) == nullptr;
        const StreamObject* other = session.streams.find(StreamHandle(freed_in.bits()));
        return other == nullptr || (request.whole_context != 0 && other->context == context);
    });
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
