// SPDX-License-Identifier: Apache-2.0
#include "host/worker/executor.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "cubar/sticky.h"
#include "driver/log.h"
#include "host/worker/capture.h"
#include "host/worker/output_capture.h"
#include "host/worker/pulse.h"
#include "host/worker/try.h"

namespace cubar::host {

using transport::Next;
using transport::Record;

namespace {

/// What of an answer is to be sent. Most of a long one is room for text or a list that is mostly
/// empty; the guest's structure is zeros before it comes, so zeros at the end need not.
std::span<const std::byte> worth_sending(const std::byte* reply, std::size_t bytes) {
    while (bytes > kInlineReplyBytes && reply[bytes - 1] == std::byte{0}) --bytes;
    return {reply, bytes};
}

}  // namespace

const char* Executor::run(int stop) {
    relax_capture_mode(parts_.session.driver());
    for (;;) {
        parts_.pulse.active();
        if (const char* broken = drain(); broken != nullptr) return broken;
        parts_.session.flush_fences();
        since_flush_ = 0;
        if (parts_.ring.spin()) continue;
        parts_.pulse.idle();
        std::array others{pollfd{stop, POLLIN, 0}};
        parts_.ring.sleep(others, -1);
        if (others[0].revents != 0) return nullptr;
    }
}

const char* Executor::drain() {
    for (;;) {
        switch (parts_.ring.next(record_)) {
            case Next::kEmpty:
                return nullptr;
            case Next::kBroken:
                return parts_.ring.broken();
            case Next::kRecord:
                break;
        }
        if (const char* broken = execute(); broken != nullptr) return broken;
    }
}

const char* Executor::execute() {
    const RecordHeader& header = record_.header();
    const Dispatch* entry = find_dispatch(header.opcode);
    if (entry == nullptr) return "a record of no known kind";
    if (!well_formed(*entry, record_.body())) return "a record that is too short for its kind";
    if (entry->answers != (header.reply_slot != kNoReply)) {
        return "a record that wants an answer where there is none, or none where there is one";
    }
    if (entry->offload) {
        // What destroys a stream must not meet a fence that is still to be written in it.
        parts_.session.flush_fences();
        since_flush_ = 0;
        auto record = std::make_shared<Record>(std::exchange(record_, Record()));
        parts_.offload.start([this, entry, record] { run_offloaded(*entry, *record); });
        return nullptr;
    }
    run_inline(*entry);
    if (++since_flush_ >= kRecordsPerFlush) {
        parts_.session.flush_fences();
        since_flush_ = 0;
    }
    return nullptr;
}

void Executor::run_offloaded(const Dispatch& entry, const Record& record) {
    relax_capture_mode(parts_.session.driver());
    alignas(8) std::byte reply[kLongReplyBytes];
    finish(entry, record, run_entry(entry, record, reply), reply);
    // Waits are offloaded, and it is then that the driver prints.
    parts_.session.output().bound();
}

void Executor::run_inline(const Dispatch& entry) {
    const CUresult result = run_entry(entry, record_, reply_);
    const RecordHeader& header = record_.header();
    // Records without an answer that need a context are work for a stream. One that failed as well:
    // what was issued before it may have been issued to that stream by nobody else's fence.
    if (!entry.answers && entry.needs_context) {
        parts_.session.mark_dirty(ContextHandle(header.context), StreamHandle(header.stream),
                                  record_.end());
    }
    finish(entry, record_, result, reply_);
}

CUresult Executor::run_entry(const Dispatch& entry, const Record& record, std::byte* reply) {
    // Functions that need no context get the caller's as well, where it has one.
    const ContextHandle context(record.header().context);
    const CUresult error =
        context || entry.needs_context ? parts_.session.make_current(context) : CUDA_SUCCESS;
    if (entry.needs_context && error != CUDA_SUCCESS) {
        std::fill_n(reply, entry.reply_bytes, std::byte{0});
        return error;
    }
    return entry.run(parts_.session, record, reply);
}

void Executor::finish(const Dispatch& entry, const Record& record, CUresult result,
                      const std::byte* reply) {
    const RecordHeader& header = record.header();
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY) {
        CUBAR_LOG(kInfo, "%s: error %d", entry.name, static_cast<int>(result));
        // Errors that end a context reach also those whose calls have no answer.
        if (!entry.answers || ends_context(result)) {
            parts_.session.report(result, ContextHandle(header.context), record.end());
        }
    }
    if (!entry.answers) return;
    const transport::Error error =
        parts_.replies.write(header.reply_slot, static_cast<std::uint32_t>(result), record.end(),
                             worth_sending(reply, entry.reply_bytes));
    if (error != transport::Error::kNone) {
        CUBAR_LOG(kError, "%s: no answer: %s", entry.name, transport::describe(error));
    }
}

}  // namespace cubar::host
