// SPDX-License-Identifier: Apache-2.0
// A machine with weak memory that runs small programs in every possible interleaving.
//
// Each thread has a store buffer and a load buffer. Stores leave the buffer in any order, except
// where a release, a store fence or a full barrier says otherwise; streaming stores (non-temporal,
// or to write-combined memory) heed only store fences and full barriers. Bulk words may be loaded
// early, at any time; an acquire load discards what was loaded early, except streaming loads, which
// only a full barrier discards. That is weaker than x86 is: it stands for compiler and CPU
// together. System calls promise no more than their manuals do: a futex is atomic with regard to
// its own word.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "transport/ordering.h"

namespace cubar::model {

inline constexpr unsigned kWords = 12;
inline constexpr unsigned kRegisters = 4;
inline constexpr unsigned kBuffer = 6;

using Registers = std::array<std::uint8_t, kRegisters>;
using Value = std::function<unsigned(const Registers&)>;

enum class Operation : std::uint8_t {
    kStore,           ///< word[address] = value, plainly
    kStoreStreaming,  ///< the same, past all order but fences
    kStoreRelease,    ///< the same, after earlier plain stores
    kStoreFence,      ///< earlier stores of every kind before later ones
    kFull,            ///< all earlier accesses before all later ones
    kLoad,            ///< target = word[address], now
    kLoadAcquire,     ///< the same, before later loads
    kLoadEarly,       ///< the same, or what was loaded early
    kSet,             ///< target = value
    kJump,            ///< to `value` if it is an instruction, i.e. below kFallThrough
    kCheck,           ///< `value` must not be 0
    kAwait,           ///< goes on, with the meaning of kLoadAcquire, once word[address] >= value
    kFutexWait,       ///< sleeps if word[address] == value
    kWake,            ///< wakes thread `value`
    kRing,            ///< makes word[address] 1, at once: a doorbell
    kPoll,            ///< goes on once word[address] is 1, and makes it 0
    kDone,
};

inline constexpr unsigned kFallThrough = 255;

struct Instruction {
    Operation operation;
    Value address;
    Value value;
    unsigned target = 0;
};

struct Program {
    std::vector<Instruction> code;
    std::uint32_t early_words = 0;      ///< bit per word that this thread may load early
    std::uint32_t streaming_words = 0;  ///< those of them that are streaming loads
};

struct Verdict {
    bool held = false;
    bool finished = false;  ///< some run came to its end
    std::string failure;    ///< "lost wake-up: …" or the text of the check
    std::size_t states = 0;
};

/// Runs two programs in all interleavings, from memory that is all zero.
Verdict explore(const std::array<Program, 2>& programs);

}  // namespace cubar::model
