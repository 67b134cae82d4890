// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Driver;

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetAttribute(CUstream stream, CUstreamAttrID attribute,
                                                   CUstreamAttrValue* value) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        *value = api::stream_of(driver, stream).stream->attributes().get(attribute);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamSetAttribute(CUstream stream, CUstreamAttrID attribute,
                                                   const CUstreamAttrValue* value) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        api::stream_of(driver, stream).stream->set_attribute(attribute, *value);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamCopyAttributes(CUstream to, CUstream from) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace target = api::stream_of(driver, to);
        const api::StreamPlace source = api::stream_of(driver, from);
        require_value(target.context == source.context, "streams of different contexts");
        target.stream->set_attributes(source.stream->attributes());
    });
}
