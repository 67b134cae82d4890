// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/worker/session.h"

namespace cubar::host {

/// A module image and the options of its loading, as the driver wants them, all in private memory:
/// a guest that changes its arena meanwhile changes nothing here.
class ImageLoad {
public:
    /// Fetches and checks them. `Request` is that of cuModuleLoadDataEx or cuLibraryLoadData.
    template <typename Request>
    CUresult prepare(Session& session, const Request& request, std::span<const std::byte> payload) {
        Options options{request.option_count, request.library_option_count, payload};
        info_ = {request.info_log_offset, request.info_log_bytes, {}};
        errors_ = {request.error_log_offset, request.error_log_bytes, {}};
        return prepare(session, request.upload, request.image_offset, request.image_bytes, options);
    }

    /// What the code has that a driver chooses from the image.
    struct Facts {
        std::uint64_t variable_bytes = 0;  ///< of global memory, at the most
        bool prints = false;               ///< it may call vprintf
    };
    CUresult examine(Session& session, Facts& facts) const;

    const void* image() const { return image_->data(); }
    /// What is charged for it: for its code the size of the image, and its variables.
    std::uint64_t bytes(const Facts& facts) const {
        const std::uint64_t code = image_->size();
        return facts.variable_bytes > UINT64_MAX - code ? UINT64_MAX : code + facts.variable_bytes;
    }
    unsigned option_count() const { return static_cast<unsigned>(options_.size()); }
    CUjit_option* options() { return options_.data(); }
    void** values() { return values_.data(); }

    // After the load.
    /// Gives the compiler's messages to the guest.
    template <typename Reply>
    void deliver_logs(Session& session, Reply& reply) const {
        reply.info_log_used = deliver(session, info_, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES);
        reply.error_log_used = deliver(session, errors_, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
    }
    /// The 4 bytes that the driver stored for an option; 0 where it was not given.
    std::uint32_t answer(CUjit_option option) const;

private:
    struct Options {
        std::uint32_t jit_count;
        std::uint32_t library_count;
        std::span<const std::byte> payload;
    };
    struct Log {
        std::uint64_t offset = 0;
        std::uint32_t bytes = 0;
        std::vector<char> text;
    };
    CUresult prepare(Session& session, std::uint32_t upload, std::uint64_t offset,
                     std::uint64_t bytes, const Options& options);
    CUresult fetch_image(Session& session, std::uint32_t upload, std::uint64_t offset,
                         std::uint64_t bytes);
    CUresult read_options(const Options& options);
    CUresult add_log(Session& session, Log& log, CUjit_option buffer, CUjit_option size);
    void add(CUjit_option option, std::uint64_t value);
    std::uint32_t deliver(Session& session, const Log& log, CUjit_option size) const;

    std::shared_ptr<const std::vector<std::byte>> image_;  ///< and a zero byte
    std::vector<CUjit_option> options_;
    std::vector<void*> values_;
    Log info_;
    Log errors_;
};

}  // namespace cubar::host
