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

/// One that waits so long for whole graphs that it sleeps, on a clock of its own.
struct Sleeper {
    struct Wait {
        Nanoseconds late = 0;    ///< from the end of the work until it is seen
        Nanoseconds looked = 0;  ///< not slept, of the wait
    };

    Forecast forecast;

    Wait wait(Nanoseconds work) {
        constexpr Nanoseconds kLook = 1'000;
        Nanoseconds waited = 0;
        Nanoseconds looked = 0;
        while (waited < work) {
            const Nanoseconds interval = forecast.sleep(waited);
            waited += interval == 0 ? kLook : interval + Guest::kOversleep;
            looked += interval == 0 ? kLook : 0;
        }
        forecast.took(waited);
        return {waited - work, looked};
    }
};

}  // namespace

TEST_CASE("A wait as long as the last is seen to end at once", "[wait]") {
    const auto work = GENERATE(as<Nanoseconds>{}, 250'000, 800'000, 1'100'000, 4'000'000,
                               10'000'000, 500'000'000);
    Sleeper sleeper;
    CAPTURE(work);
    CHECK(sleeper.wait(work).late <= work / 8 + Guest::kOversleep);
    for (unsigned i = 0; i < 100; ++i) {
        // Tokens become a little longer, one after the other.
        const Nanoseconds longer = work + work / 1000 * i;
        const Sleeper::Wait wait = sleeper.wait(longer);
        CAPTURE(i);
        CHECK(wait.late <= 1'000);
        CHECK(wait.looked <= longer / 8 + 2 * Guest::kOversleep);
    }
}

TEST_CASE("Waits of two lengths are both foreseen", "[wait]") {
    Sleeper sleeper;
    sleeper.wait(80'000'000);
    sleeper.wait(10'000'000);
    for (unsigned i = 0; i < 10; ++i) {
        CHECK(sleeper.wait(80'000'000).late <= 1'000);
        CHECK(sleeper.wait(10'000'000).late <= 1'000);
    }
}

TEST_CASE("A wrong forecast costs no more than none", "[wait]") {
    const auto before = GENERATE(as<Nanoseconds>{}, 1'100'000, 9'000'000, 11'500'000, 900'000'000);
    const Nanoseconds work = 10'000'000;
    Sleeper fresh;
    const Nanoseconds most = work / 8 + Guest::kOversleep;
    CHECK(fresh.wait(work).late <= most);
    Sleeper sleeper;
    sleeper.wait(before);
    CAPTURE(before);
    CHECK(sleeper.wait(work).late <= most);
    CHECK(sleeper.wait(work).late <= 1'000);
}

TEST_CASE("Short waits are not forecast", "[wait]") {
    Forecast forecast;
    forecast.took(150'000);
    CHECK(forecast.sleep(150'000) == growing_sleep(150'000));
}

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
