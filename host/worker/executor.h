// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>

#include "cubar/host/dispatch.h"
#include "host/worker/offload.h"
#include "host/worker/session.h"
#include "transport/host_words.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

class Pulse;

/// Executes the guest's records: those of bounded time in their order on the calling thread, those
/// that may block on threads of the pool, each started after all earlier records were issued.
class Executor {
public:
    struct Parts {
        Session& session;
        transport::RingConsumer& ring;
        transport::ReplyWriter& replies;
        OffloadPool& offload;
        Pulse& pulse;
    };
    explicit Executor(const Parts& parts) : parts_(parts) {}

    /// Returns when `stop` becomes readable (-1: never), or why the guest's stream is broken.
    /// Static storage; null: stopped. Jobs of the pool may still run.
    const char* run(int stop);

private:
    /// While the guest keeps the ring full, fences are written this often, so that it sees
    /// progress.
    static constexpr unsigned kRecordsPerFlush = 128;

    /// Executes what is in the ring.
    const char* drain();
    const char* execute();
    void run_offloaded(const Dispatch& entry, const transport::Record& record);
    void run_inline(const Dispatch& entry);
    CUresult run_entry(const Dispatch& entry, const transport::Record& record, std::byte* reply);
    void finish(const Dispatch& entry, const transport::Record& record, CUresult result,
                const std::byte* reply);

    Parts parts_;
    transport::Record record_;
    unsigned since_flush_ = 0;
    alignas(8) std::byte reply_[kLongReplyBytes];
};

}  // namespace cubar::host
