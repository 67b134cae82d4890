// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <cstring>
#include <unordered_set>

namespace cubar::model {

namespace {

enum class EntryKind : std::uint8_t { kPlain, kStreaming, kRelease, kFence };

struct Entry {
    EntryKind kind;
    std::uint8_t word;
    std::uint8_t value;
};

struct Thread {
    std::uint8_t at;
    std::uint8_t asleep;
    std::uint8_t buffered;
    Registers registers;
    std::array<Entry, kBuffer> buffer;
    std::array<std::uint8_t, kWords> early;  ///< value + 1; 0: not loaded
};

struct State {
    std::array<std::uint8_t, kWords> memory;
    std::array<Thread, 2> threads;
};
static_assert(std::has_unique_object_representations_v<State>);

class Explorer {
public:
    explicit Explorer(const std::array<Program, 2>& programs) : programs_(programs) {}

    Verdict run() {
        State start;
        std::memset(&start, 0, sizeof start);
        visit(start);
        while (!todo_.empty() && verdict_.failure.empty()) {
            const State state = todo_.back();
            todo_.pop_back();
            expand(state);
        }
        verdict_.held = verdict_.failure.empty();
        verdict_.states = seen_.size();
        return verdict_;
    }

private:
    void visit(const State& state) {
        if (seen_.emplace(reinterpret_cast<const char*>(&state), sizeof state).second) {
            todo_.push_back(state);
        }
    }

    void expand(const State& state) {
        bool moved = false;
        bool done = true;
        for (unsigned who = 0; who < 2; ++who) {
            const Thread& thread = state.threads[who];
            const bool at_end = next(state, who).operation == Operation::kDone;
            done = done && at_end;
            moved = drain(state, who) || moved;
            if (!at_end && thread.asleep == 0) {
                load_early(state, who);
                moved = execute(state, who) || moved;
            }
        }
        if (done) {
            verdict_.finished = true;
        } else if (!moved && verdict_.failure.empty()) {
            verdict_.failure = "lost wake-up: threads stand at " +
                               std::to_string(state.threads[0].at) + " and " +
                               std::to_string(state.threads[1].at);
        }
    }

    const Instruction& next(const State& state, unsigned who) const {
        return programs_[who].code[state.threads[who].at];
    }

    static bool may_leave(const Thread& thread, unsigned index) {
        const Entry& entry = thread.buffer[index];
        for (unsigned i = 0; i < index; ++i) {
            const Entry& earlier = thread.buffer[i];
            const bool ordered =
                entry.kind == EntryKind::kFence || earlier.kind == EntryKind::kFence ||
                earlier.word == entry.word ||
                (entry.kind == EntryKind::kRelease && earlier.kind != EntryKind::kStreaming);
            if (ordered) {
                return false;
            }
        }
        return true;
    }

    bool drain(const State& state, unsigned who) {
        bool any = false;
        const Thread& thread = state.threads[who];
        for (unsigned i = 0; i < thread.buffered; ++i) {
            if (!may_leave(thread, i)) {
                continue;
            }
            State after = state;
            Thread& changed = after.threads[who];
            const Entry entry = changed.buffer[i];
            if (entry.kind != EntryKind::kFence) {
                after.memory[entry.word] = entry.value;
            }
            for (unsigned j = i; j + 1 < changed.buffered; ++j) {
                changed.buffer[j] = changed.buffer[j + 1];
            }
            changed.buffer[--changed.buffered] = {};
            visit(after);
            any = true;
        }
        return any;
    }

    void load_early(const State& state, unsigned who) {
        for (unsigned word = 0; word < kWords; ++word) {
            const bool may = (programs_[who].early_words >> word & 1) != 0;
            if (may && state.threads[who].early[word] == 0) {
                State after = state;
                after.threads[who].early[word] =
                    static_cast<std::uint8_t>(view(state, who, word) + 1);
                visit(after);
            }
        }
    }

    static std::uint8_t view(const State& state, unsigned who, unsigned word) {
        const Thread& thread = state.threads[who];
        for (unsigned i = thread.buffered; i-- > 0;) {
            if (thread.buffer[i].kind != EntryKind::kFence && thread.buffer[i].word == word) {
                return thread.buffer[i].value;
            }
        }
        return state.memory[word];
    }

    void discard_early(Thread& thread, unsigned who, bool streaming_too) const {
        for (unsigned word = 0; word < kWords; ++word) {
            if (streaming_too || (programs_[who].streaming_words >> word & 1) == 0) {
                thread.early[word] = 0;
            }
        }
    }

    /// True if the thread could take its next step.
    bool execute(const State& state, unsigned who) {
        const Instruction& instruction = next(state, who);
        State after = state;
        Thread& thread = after.threads[who];
        const Registers& registers = state.threads[who].registers;
        const unsigned word = instruction.address ? instruction.address(registers) : 0;
        const auto value =
            static_cast<std::uint8_t>(instruction.value ? instruction.value(registers) : 0);
        ++thread.at;
        const auto buffer = [&](EntryKind kind) {
            if (thread.buffered == kBuffer) {
                return false;
            }
            thread.buffer[thread.buffered++] = {kind, static_cast<std::uint8_t>(word), value};
            return true;
        };
        bool possible = true;
        switch (instruction.operation) {
            case Operation::kStore:
                possible = buffer(EntryKind::kPlain);
                break;
            case Operation::kStoreStreaming:
                possible = buffer(EntryKind::kStreaming);
                break;
            case Operation::kStoreRelease:
                possible = buffer(EntryKind::kRelease);
                break;
            case Operation::kStoreFence:
                possible = buffer(EntryKind::kFence);
                break;
            case Operation::kFull:
                possible = thread.buffered == 0;
                discard_early(thread, who, true);
                break;
            case Operation::kLoad:
                thread.registers[instruction.target] = view(state, who, word);
                break;
            case Operation::kLoadAcquire:
                thread.registers[instruction.target] = view(state, who, word);
                discard_early(thread, who, false);
                break;
            case Operation::kLoadEarly:
                thread.registers[instruction.target] =
                    thread.early[word] != 0 ? static_cast<std::uint8_t>(thread.early[word] - 1)
                                            : view(state, who, word);
                thread.early[word] = 0;
                break;
            case Operation::kSet:
                thread.registers[instruction.target] = value;
                break;
            case Operation::kJump:
                thread.at = value == kFallThrough ? thread.at : value;
                break;
            case Operation::kCheck:
                if (value == 0) {
                    verdict_.failure = "stale or overrun: thread " + std::to_string(who) + " at " +
                                       std::to_string(state.threads[who].at);
                }
                break;
            case Operation::kAwait:
                possible = view(state, who, word) >= value;
                discard_early(thread, who, false);
                break;
            case Operation::kFutexWait:
                thread.asleep = view(state, who, word) == value ? 1 : 0;
                break;
            case Operation::kWake:
                after.threads[value].asleep = 0;
                break;
            case Operation::kRing:
                after.memory[word] = 1;
                break;
            case Operation::kPoll:
                possible = state.memory[word] == 1;
                after.memory[word] = 0;
                break;
            case Operation::kDone:
                possible = false;
                break;
        }
        if (possible) {
            visit(after);
        }
        return possible;
    }

    const std::array<Program, 2>& programs_;
    std::unordered_set<std::string> seen_;
    std::vector<State> todo_;
    Verdict verdict_;
};

}  // namespace

Verdict explore(const std::array<Program, 2>& programs) {
    return Explorer(programs).run();
}

}  // namespace cubar::model
