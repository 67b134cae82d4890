// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <span>
#include <vector>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/api/value_operation.h"
#include "softgpu/device/memory_value.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Driver;
using device::ValueOperation;
using Kind = ValueOperation::Kind;

namespace {

constexpr unsigned kMostOperations = 256;  // of one batch, as cuda.h's documentation says

CUresult run(const char* function, CUstream stream, const ValueOperation& operation) {
    return entry(function, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        device::run_values(*place.context, place.stream, std::span(&operation, 1));
    });
}

ValueOperation from(const CUstreamBatchMemOpParams& parameters) {
    const auto& write = parameters.writeValue;
    const auto& wait = parameters.waitValue;
    switch (parameters.operation) {
        case CU_STREAM_MEM_OP_WRITE_VALUE_32:
            return {Kind::kWrite, 4, write.address, write.value, write.flags};
        case CU_STREAM_MEM_OP_WRITE_VALUE_64:
            return {Kind::kWrite, 8, write.address, write.value64, write.flags};
        case CU_STREAM_MEM_OP_WAIT_VALUE_32:
            return {Kind::kWait, 4, wait.address, wait.value, wait.flags};
        case CU_STREAM_MEM_OP_WAIT_VALUE_64:
            return {Kind::kWait, 8, wait.address, wait.value64, wait.flags};
        case CU_STREAM_MEM_OP_BARRIER:
            return {Kind::kBarrier, 4, 0, 0, 0};
        case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
            throw api::Error(CUDA_ERROR_NOT_SUPPORTED, "remote writes cannot be flushed");
        default:
            throw api::Error(CUDA_ERROR_INVALID_VALUE, "no such operation");
    }
}

}  // namespace

namespace cubar::softgpu::api {

std::vector<ValueOperation> value_operations(const CUstreamBatchMemOpParams* parameters,
                                             unsigned count) {
    require_value(count != 0 && count <= kMostOperations && parameters != nullptr, "an argument");
    std::vector<ValueOperation> operations;
    for (const auto& each : std::span(parameters, count)) operations.push_back(from(each));
    return operations;
}

CUstreamBatchMemOpParams value_parameters(const ValueOperation& operation) {
    const bool wide = operation.bytes == 8;
    CUstreamBatchMemOpParams parameters{};
    switch (operation.kind) {
        case Kind::kWrite:
            parameters.operation =
                wide ? CU_STREAM_MEM_OP_WRITE_VALUE_64 : CU_STREAM_MEM_OP_WRITE_VALUE_32;
            parameters.writeValue.address = operation.address;
            parameters.writeValue.value64 = operation.value;
            parameters.writeValue.flags = operation.flags;
            break;
        case Kind::kWait:
            parameters.operation =
                wide ? CU_STREAM_MEM_OP_WAIT_VALUE_64 : CU_STREAM_MEM_OP_WAIT_VALUE_32;
            parameters.waitValue.address = operation.address;
            parameters.waitValue.value64 = operation.value;
            parameters.waitValue.flags = operation.flags;
            break;
        case Kind::kBarrier:
            parameters.operation = CU_STREAM_MEM_OP_BARRIER;
            break;
    }
    return parameters;
}

}  // namespace cubar::softgpu::api

CUBAR_EXPORT CUresult CUDAAPI cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address,
                                                      cuuint32_t value, unsigned int flags) {
    return run(__func__, stream, {Kind::kWrite, 4, address, value, flags});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address,
                                                      cuuint64_t value, unsigned int flags) {
    return run(__func__, stream, {Kind::kWrite, 8, address, value, flags});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr address,
                                                     cuuint32_t value, unsigned int flags) {
    return run(__func__, stream, {Kind::kWait, 4, address, value, flags});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr address,
                                                     cuuint64_t value, unsigned int flags) {
    return run(__func__, stream, {Kind::kWait, 8, address, value, flags});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamBatchMemOp_v2(CUstream stream, unsigned int count,
                                                    CUstreamBatchMemOpParams* parameters,
                                                    unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags == 0, "unknown flags");
        const auto operations = api::value_operations(parameters, count);
        const api::StreamPlace place = api::stream_of(driver, stream);
        device::run_values(*place.context, place.stream, operations);
    });
}
