// SPDX-License-Identifier: Apache-2.0
#include "protocol.h"

#include <map>
#include <string>

namespace cubar::model {

namespace {

constexpr unsigned kRecords = 3;  // posted
constexpr unsigned kRing = 2;     // that the ring holds: the guest must wait once

// Words. Those of the ring scenario and the others' overlap on purpose: each runs alone.
enum Word : unsigned {
    kTail,
    kHead,
    kSleeping,
    kWaits,
    kDoorbell,
    kRecord0,
    kBulk0 = kRecord0 + kRing
};
enum SlotWord : unsigned { kAsked, kState, kSlotSleeping, kBody };
enum FenceWord : unsigned { kWanted, kFence, kData };

// Registers.
enum Register : unsigned { kCount, kSeen, kLoaded, kOther };

constexpr unsigned kGuest = 0;

Value constant(unsigned value) {
    return [value](const Registers&) { return value; };
}
Value reg(unsigned which) {
    return [which](const Registers& registers) { return unsigned{registers[which]}; };
}
Value plus(unsigned which, unsigned more) {
    return [=](const Registers& registers) { return registers[which] + more; };
}
Value slot_of(unsigned base, unsigned which) {
    return [=](const Registers& registers) { return base + registers[which] % kRing; };
}

/// Writes a program down, with names for places in it and barriers by their names.
class Writer {
public:
    explicit Writer(const Setting& setting) : setting_(setting) {}

    bool has(Barrier barrier) const { return setting_.missing != barrier; }

    void label(const std::string& name) { labels_[name] = code_.size(); }
    void add(Operation operation, Value address = {}, Value value = {}, unsigned target = 0) {
        code_.push_back({operation, std::move(address), std::move(value), target});
    }
    void store(const Value& word, const Value& value) { add(Operation::kStore, word, value); }
    /// To memory that the guest maps as bulk.
    void store_bulk(const Value& word, const Value& value) {
        add(setting_.memory == MemoryType::kWriteCombining ? Operation::kStoreStreaming
                                                           : Operation::kStore,
            word, value);
    }
    void full(Barrier barrier) {
        if (has(barrier)) {
            add(Operation::kFull);
        }
    }
    void store_fence(Barrier barrier) {
        if (has(barrier)) {
            add(Operation::kStoreFence);
        }
    }
    void store_released(Barrier barrier, MemoryType memory, const Value& word, const Value& value) {
        if (!has(barrier)) {
            add(Operation::kStore, word, value);
            return;
        }
        if (memory == MemoryType::kWriteCombining) {
            add(Operation::kStoreFence);
        }
        add(Operation::kStoreRelease, word, value);
    }
    void load_acquired(Barrier barrier, const Value& word, unsigned target) {
        add(has(barrier) ? Operation::kLoadAcquire : Operation::kLoad, word, {}, target);
    }
    void jump(const std::string& name) {
        jump_if([](const Registers&) { return true; }, name);
    }
    void jump_if(std::function<bool(const Registers&)> condition, const std::string& name) {
        jumps_.emplace_back(code_.size(), name, std::move(condition));
        add(Operation::kJump);
    }
    void check(const std::function<bool(const Registers&)>& condition) {
        add(Operation::kCheck, {},
            [condition](const Registers& registers) { return condition(registers) ? 1u : 0u; });
    }
    void sleep_on(Value word, Value expected) {
        add(Operation::kFutexWait, std::move(word), std::move(expected));
    }
    void wake(unsigned thread) { add(Operation::kWake, {}, constant(thread)); }

    Program finish() {
        add(Operation::kDone);
        for (const Jump& jump : jumps_) {
            const auto to = static_cast<unsigned>(labels_.at(jump.name));
            code_[jump.index].value = [to, condition = jump.condition](const Registers& registers) {
                return condition(registers) ? to : kFallThrough;
            };
        }
        Program program;
        program.code = std::move(code_);
        return program;
    }

private:
    struct Jump {
        std::size_t index;
        std::string name;
        std::function<bool(const Registers&)> condition;
        Jump(std::size_t at, std::string to, std::function<bool(const Registers&)> when)
            : index(at), name(std::move(to)), condition(std::move(when)) {}
    };
    const Setting setting_;
    std::vector<Instruction> code_;
    std::map<std::string, std::size_t> labels_;
    std::vector<Jump> jumps_;
};

bool is_one(const Registers& registers) {
    return registers[kLoaded] == 1;
}
bool is_zero(const Registers& registers) {
    return registers[kLoaded] == 0;
}

Program ring_guest(const Setting& setting) {
    Writer w(setting);
    const auto full = [](const Registers& r) { return r[kCount] - r[kSeen] == int{kRing}; };
    w.label("post");
    w.jump_if([](const Registers& r) { return r[kCount] == kRecords; }, "end");
    w.jump_if(full, "wait");
    w.label("build");
    w.add(Operation::kStoreStreaming, slot_of(kBulk0, kCount), plus(kCount, 1));  // bulk_write
    w.store_fence(Barrier::kBulkBeforeTail);
    w.store_bulk(slot_of(kRecord0, kCount), plus(kCount, 1));
    w.store_released(Barrier::kRecordBeforeTail, setting.memory, constant(kTail), plus(kCount, 1));
    w.full(Barrier::kTailBeforeSleeping);
    w.add(Operation::kSet, {}, plus(kCount, 1), kCount);
    w.add(Operation::kLoad, constant(kSleeping), {}, kLoaded);
    w.jump_if(is_zero, "post");
    w.add(Operation::kRing, constant(kDoorbell));
    w.jump("post");

    w.label("wait");
    w.add(Operation::kLoadAcquire, constant(kHead), {}, kSeen);
    w.jump_if([full](const Registers& r) { return !full(r); }, "build");
    w.store(constant(kWaits), constant(1));
    w.full(Barrier::kWaitsForSpaceBeforeHead);
    w.add(Operation::kLoadAcquire, constant(kHead), {}, kSeen);
    w.jump_if([full](const Registers& r) { return !full(r); }, "awake");
    w.sleep_on(constant(kHead), reg(kSeen));
    w.label("awake");
    w.store(constant(kWaits), constant(0));
    w.jump("wait");
    w.label("end");
    return w.finish();
}

Program ring_worker(const Setting& setting) {
    Writer w(setting);
    const auto empty = [](const Registers& r) { return r[kSeen] == r[kCount]; };
    const auto read_record = [&] {
        const auto right = [](const Registers& r) { return r[kLoaded] == r[kCount] + 1; };
        w.add(Operation::kLoadEarly, slot_of(kRecord0, kCount), {}, kLoaded);
        w.check(right);
        w.add(Operation::kLoadEarly, slot_of(kBulk0, kCount), {}, kLoaded);
        w.check(right);
    };
    w.label("next");
    w.jump_if([](const Registers& r) { return r[kCount] == kRecords; }, "end");
    w.load_acquired(Barrier::kTailBeforeRecord, constant(kTail), kSeen);
    w.jump_if(empty, "sleep");
    if (w.has(Barrier::kRecordBeforeHead)) {
        read_record();
        w.store_released(Barrier::kRecordBeforeHead, MemoryType::kWriteBack, constant(kHead),
                         plus(kCount, 1));
    } else {
        // Nothing holds the loads before the store any more: here they come after it.
        w.store(constant(kHead), plus(kCount, 1));
        read_record();
    }
    w.add(Operation::kSet, {}, plus(kCount, 1), kCount);
    w.full(Barrier::kHeadBeforeWaitsForSpace);
    w.add(Operation::kLoad, constant(kWaits), {}, kLoaded);
    w.jump_if(is_zero, "next");
    w.wake(kGuest);
    w.jump("next");

    w.label("sleep");
    w.store(constant(kSleeping), constant(1));
    w.full(Barrier::kSleepingBeforeTail);
    w.load_acquired(Barrier::kTailBeforeRecord, constant(kTail), kSeen);
    w.jump_if([empty](const Registers& r) { return !empty(r); }, "awake");
    w.add(Operation::kPoll, constant(kDoorbell));
    w.label("awake");
    w.store(constant(kSleeping), constant(0));
    w.jump("next");
    w.label("end");
    Program program = w.finish();
    program.early_words = ((1u << 2 * kRing) - 1) << kRecord0;
    return program;
}

constexpr unsigned kPending = 1;
constexpr unsigned kAnswered = 2;

Program reply_guest(const Setting& setting) {
    Writer w(setting);
    const auto answered = [](const Registers& r) { return r[kLoaded] == kAnswered; };
    w.label("call");
    w.jump_if([](const Registers& r) { return r[kCount] == 2; }, "end");
    w.store(constant(kState), constant(kPending));
    w.store_released(Barrier::kRecordBeforeTail, setting.memory, constant(kAsked), plus(kCount, 1));
    w.label("wait");
    w.load_acquired(Barrier::kStateBeforeAnswer, constant(kState), kLoaded);
    w.jump_if(answered, "answer");
    w.store(constant(kSlotSleeping), constant(1));
    w.full(Barrier::kReplyWaitBeforeState);
    w.load_acquired(Barrier::kStateBeforeAnswer, constant(kState), kLoaded);
    w.jump_if(answered, "awake");
    w.sleep_on(constant(kState), constant(kPending));
    w.label("awake");
    w.store(constant(kSlotSleeping), constant(0));
    w.jump("wait");
    w.label("answer");
    w.add(Operation::kLoadEarly, constant(kBody), {}, kOther);
    w.check([](const Registers& r) { return r[kOther] == r[kCount] + 1; });
    w.add(Operation::kSet, {}, plus(kCount, 1), kCount);
    w.jump("call");
    w.label("end");
    Program program = w.finish();
    program.early_words = 1u << kBody;
    return program;
}

Program reply_worker(const Setting& setting) {
    Writer w(setting);
    w.label("next");
    w.jump_if([](const Registers& r) { return r[kCount] == 2; }, "end");
    w.add(Operation::kAwait, constant(kAsked), plus(kCount, 1));
    w.store(constant(kBody), plus(kCount, 1));
    w.store_released(Barrier::kAnswerBeforeState, MemoryType::kWriteBack, constant(kState),
                     constant(kAnswered));
    w.full(Barrier::kStateBeforeReplyWait);
    w.add(Operation::kSet, {}, plus(kCount, 1), kCount);
    w.add(Operation::kLoad, constant(kSlotSleeping), {}, kLoaded);
    w.jump_if([](const Registers& r) { return !is_one(r); }, "next");
    w.wake(kGuest);
    w.jump("next");
    w.label("end");
    return w.finish();
}

Program fence_guest(const Setting& setting) {
    Writer w(setting);
    w.label("next");
    w.jump_if([](const Registers& r) { return r[kCount] == 2; }, "end");
    w.store(constant(kWanted), plus(kCount, 1));
    w.add(Operation::kAwait, constant(kFence), plus(kCount, 1));
    w.full(Barrier::kFenceBeforeBulkLoads);
    w.add(Operation::kLoadEarly, constant(kData), {}, kLoaded);
    w.check([](const Registers& r) { return r[kLoaded] == r[kCount] + 1; });
    w.add(Operation::kSet, {}, plus(kCount, 1), kCount);
    w.jump("next");
    w.label("end");
    Program program = w.finish();
    program.early_words = 1u << kData;
    program.streaming_words =
        setting.memory == MemoryType::kWriteCombining ? program.early_words : 0;
    return program;
}

Program fence_stream(const Setting& setting) {
    Writer w(setting);
    w.label("next");
    w.jump_if([](const Registers& r) { return r[kCount] == 2; }, "end");
    w.add(Operation::kAwait, constant(kWanted), plus(kCount, 1));
    w.store(constant(kData), plus(kCount, 1));
    w.store_released(Barrier::kBulkBeforeFence, MemoryType::kWriteBack, constant(kFence),
                     plus(kCount, 1));
    w.add(Operation::kSet, {}, plus(kCount, 1), kCount);
    w.jump("next");
    w.label("end");
    return w.finish();
}

}  // namespace

std::array<Program, 2> ring(const Setting& setting) {
    return {ring_guest(setting), ring_worker(setting)};
}

std::array<Program, 2> reply(const Setting& setting) {
    return {reply_guest(setting), reply_worker(setting)};
}

std::array<Program, 2> fence(const Setting& setting) {
    return {fence_guest(setting), fence_stream(setting)};
}

}  // namespace cubar::model
