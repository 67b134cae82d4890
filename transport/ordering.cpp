// SPDX-License-Identifier: Apache-2.0
#include "transport/ordering.h"

namespace cubar::transport {

const char* name_of(Barrier barrier) {
    switch (barrier) {
        case Barrier::kRecordBeforeTail:
            return "kRecordBeforeTail";
        case Barrier::kBulkBeforeTail:
            return "kBulkBeforeTail";
        case Barrier::kTailBeforeSleeping:
            return "kTailBeforeSleeping";
        case Barrier::kWaitsForSpaceBeforeHead:
            return "kWaitsForSpaceBeforeHead";
        case Barrier::kReplyWaitBeforeState:
            return "kReplyWaitBeforeState";
        case Barrier::kStateBeforeAnswer:
            return "kStateBeforeAnswer";
        case Barrier::kFenceBeforeBulkLoads:
            return "kFenceBeforeBulkLoads";
        case Barrier::kTailBeforeRecord:
            return "kTailBeforeRecord";
        case Barrier::kRecordBeforeHead:
            return "kRecordBeforeHead";
        case Barrier::kSleepingBeforeTail:
            return "kSleepingBeforeTail";
        case Barrier::kHeadBeforeWaitsForSpace:
            return "kHeadBeforeWaitsForSpace";
        case Barrier::kAnswerBeforeState:
            return "kAnswerBeforeState";
        case Barrier::kStateBeforeReplyWait:
            return "kStateBeforeReplyWait";
        case Barrier::kBulkBeforeFence:
            return "kBulkBeforeFence";
    }
    return "?";
}

}  // namespace cubar::transport
