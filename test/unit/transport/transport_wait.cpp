// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>

#include "transport/fence.h"
#include "transport/wait.h"

namespace cubar::transport::test {
namespace {

/// A guest of a VM that posts records and waits for the fence of each, on a clock of its own.
struct Guest {
    // What each takes; of sleeping, what it takes beyond what was asked for.
    static constexpr Nanoseconds kWork = 8'000;
    static constexpr Nanoseconds kDoorbell = 190'000;
    static constexpr Nanoseconds kOversleep = 70'000;

    SpinBudget budget;
    bool host_asleep = false;
    unsigned crossings = 0;

    /// One record of which the GPU takes `late` longer than usual. How long the guest waited.
    Nanoseconds wait(Nanoseconds late = 0) {
        const Nanoseconds fence = kWork + late + (host_asleep ? kDoorbell : 0);
        const Nanoseconds spun = budget.get();
        if (fence <= spun) {
            budget.covered();
            host_asleep = false;
            return fence;
        }
        Nanoseconds slept = 0;
        do {
            slept += growing_sleep(slept) + kOversleep;
            if (spun + slept >= fence) {
                break;
            }
            // The host, which is asked now, answers by a word that this guest looks at likewise.
            crossings += spun + slept >= kFencePatience && !asked_;
            asked_ = spun + slept >= kFencePatience;
        } while (true);
        asked_ = false;
        budget.in_vain(slept);
        host_asleep = spun + slept - fence > kSpinLimit;
        return spun + slept;
    }

private:
    bool asked_ = false;
};

}  // namespace

TEST_CASE("After waits that were late the next are as short as ever", "[wait]") {
    Guest guest;
    REQUIRE(guest.wait() == Guest::kWork);
    // Late ones of the kinds that a busy machine, a long kernel and a paused VM make.
    const auto late = GENERATE(as<Nanoseconds>{}, 60'000, 300'000, 700'000, 10'000'000);
    const unsigned times = GENERATE(1U, 2U, 5U, 100U);
    CAPTURE(late, times);
    for (unsigned i = 0; i < times; ++i) {
        guest.wait(late);
    }
    const unsigned crossed = guest.crossings;
    CHECK(crossed == (late > kFencePatience ? times : 0));
    unsigned slow = 0;
    for (unsigned i = 0; i < 200; ++i) {
        slow += guest.wait() != Guest::kWork ? 1 : 0;
    }
    CHECK(slow <= 16);
    CHECK(guest.crossings == crossed);
}

TEST_CASE("Late waits cost little spinning", "[wait]") {
    // The first of each waits finds the limit, those after it next to nothing.
    const auto late = GENERATE(as<Nanoseconds>{}, 300'000, 900'000);
    Guest guest;
    Nanoseconds spun = 0;
    Nanoseconds waited = 0;
    for (unsigned i = 0; i < 1600; ++i) {
        spun += guest.budget.get();
        waited += guest.wait(late);
    }
    CAPTURE(late, spun, waited);
    CHECK(spun < waited / 20);
}

TEST_CASE("Long waits leave the budget of short ones alone", "[wait]") {
    SpinBudget budget;
    for (unsigned i = 0; i < 100; ++i) {
        budget.in_vain(8 * kMillisecond);
    }
    CHECK(budget.get() == kSpinLimit);
    budget.in_vain(80'000);
    CHECK(budget.get() == kSpinLimit / 2);
    budget.covered();
    CHECK(budget.get() == kSpinLimit);
}

}  // namespace cubar::transport::test
