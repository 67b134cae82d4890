// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "protocol.h"

namespace cubar::model {

namespace {

struct Scenario {
    const char* name;
    std::array<Program, 2> (*programs)(const Setting&);
};
constexpr Scenario kScenarios[] = {{"ring", ring}, {"reply", reply}, {"fence", fence}};
constexpr MemoryType kMemories[] = {MemoryType::kWriteBack, MemoryType::kWriteCombining};

const char* name_of_memory(MemoryType memory) {
    return memory == MemoryType::kWriteBack ? "write-back" : "write-combining";
}

}  // namespace

TEST_CASE("With all its barriers the protocol loses, overruns and misreads nothing") {
    for (const Scenario& scenario : kScenarios) {
        for (const MemoryType memory : kMemories) {
            const Verdict verdict = explore(scenario.programs({memory, std::nullopt}));
            INFO(scenario.name << ", " << name_of_memory(memory) << ": " << verdict.failure);
            CHECK(verdict.held);
            CHECK(verdict.finished);
            WARN(scenario.name << ", " << name_of_memory(memory) << ": " << verdict.states
                               << " states");
        }
    }
}

TEST_CASE("Without any one of its barriers it fails") {
    for (unsigned i = 0; i < transport::kBarriers; ++i) {
        const auto barrier = static_cast<Barrier>(i);
        std::string failures;
        for (const Scenario& scenario : kScenarios) {
            for (const MemoryType memory : kMemories) {
                const Verdict verdict = explore(scenario.programs({memory, barrier}));
                if (!verdict.held) {
                    failures += std::string("\n  ") + scenario.name + ", " +
                                name_of_memory(memory) + ": " + verdict.failure;
                }
            }
        }
        INFO(name_of(barrier));
        CHECK_FALSE(failures.empty());
        WARN("without " << name_of(barrier) << ":" << failures);
    }
}

}  // namespace cubar::model
