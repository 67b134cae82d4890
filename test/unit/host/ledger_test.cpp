// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/ledger.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "host/cubard/guest.h"

namespace cubar::host {
namespace {

constexpr unsigned kSeed = 20231;

TEST_CASE("a charge within the quota is granted, one byte more is not") {
    Ledger ledger({{.total = 1000, .quota = 600}});
    CHECK(ledger.charge(1, 0, 600) == Verdict::kGranted);
    CHECK(ledger.charge(2, 0, 1) == Verdict::kQuota);
    CHECK(ledger.charge(1, 0, 0) == Verdict::kGranted);
    CHECK(ledger.usage(0).used == 600);
}

TEST_CASE("without a quota the sum still cannot wrap") {
    Ledger ledger({{.total = 1000, .quota = 0}});
    CHECK(ledger.charge(1, 0, ~std::uint64_t{0}) == Verdict::kGranted);
    CHECK(ledger.charge(2, 0, 1) == Verdict::kQuota);
}

TEST_CASE("a session can give back only what is its own") {
    Ledger ledger({{.total = 1000, .quota = 600}});
    REQUIRE(ledger.charge(1, 0, 100) == Verdict::kGranted);
    CHECK(ledger.credit(2, 0, 1) == Verdict::kNotYours);
    CHECK(ledger.credit(1, 0, 101) == Verdict::kNotYours);
    CHECK(ledger.credit(1, 1, 1) == Verdict::kNoDevice);
    CHECK(ledger.charge(1, 7, 1) == Verdict::kNoDevice);
    CHECK(ledger.usage(0).used == 100);
}

TEST_CASE("random operations agree with a model") {
    INFO("seed " << kSeed);
    std::mt19937_64 random(kSeed);
    constexpr std::uint64_t kQuota = 10'000;
    Ledger ledger({{.total = 20'000, .quota = kQuota}, {.total = 20'000, .quota = 0}});
    std::map<std::pair<SessionId, std::uint32_t>, std::uint64_t> model;
    const auto sum = [&](std::uint32_t device) {
        std::uint64_t total = 0;
        for (const auto& [key, bytes] : model) {
            total += key.second == device ? bytes : 0;
        }
        return total;
    };
    for (int step = 0; step < 20'000; ++step) {
        const SessionId session = 1 + random() % 5;
        const auto device = static_cast<std::uint32_t>(random() % 2);
        const std::uint64_t bytes = random() % 3000;
        std::uint64_t& held = model[{session, device}];
        switch (random() % 8) {
            case 0:
                ledger.drop(session);
                model[{session, 0}] = 0;
                model[{session, 1}] = 0;
                break;
            case 1:
            case 2:
            case 3: {
                const bool fits = bytes <= held;
                CHECK((ledger.credit(session, device, bytes) == Verdict::kGranted) == fits);
                held -= fits ? bytes : 0;
                break;
            }
            default: {
                const bool fits = device == 1 || sum(device) + bytes <= kQuota;
                CHECK((ledger.charge(session, device, bytes) == Verdict::kGranted) == fits);
                held += fits ? bytes : 0;
                break;
            }
        }
        REQUIRE(ledger.usage(0).used == sum(0));
        REQUIRE(ledger.usage(1).used == sum(1));
        REQUIRE(ledger.used_by(session, device) == model[{session, device}]);
    }
}

TEST_CASE("granules: random leases never overlap and come back whole") {
    INFO("seed " << kSeed);
    std::mt19937_64 random(kSeed);
    std::vector<SessionId> owners(97, 0);
    std::vector<SessionId> model(97, 0);
    GranuleLedger granules(owners);
    const auto has_run = [&](std::uint64_t count) {
        std::uint64_t run = 0;
        for (const SessionId owner : model) {
            run = owner == 0 ? run + 1 : 0;
            if (run == count && count != 0) {
                return true;
            }
        }
        return false;
    };
    for (int step = 0; step < 20'000; ++step) {
        const SessionId session = 1 + random() % 4;
        const std::uint64_t count = random() % 12;
        if (random() % 20 == 0) {
            granules.drop(session);
            for (SessionId& owner : model) {
                owner = owner == session ? 0 : owner;
            }
        } else if (random() % 2 == 0) {
            std::uint64_t first = 0;
            const bool expected = has_run(count);
            REQUIRE(granules.lease(session, count, first) == expected);
            for (std::uint64_t i = 0; expected && i < count; ++i) {
                REQUIRE(model[first + i] == 0);
                model[first + i] = session;
            }
        } else {
            const std::uint64_t first = random() % 100;
            bool own = first + count <= model.size();
            for (std::uint64_t i = 0; own && i < count; ++i) {
                own = model[first + i] == session;
            }
            REQUIRE((granules.give_back(session, first, count) == Verdict::kGranted) == own);
            for (std::uint64_t i = 0; own && i < count; ++i) {
                model[first + i] = 0;
            }
        }
        REQUIRE(owners == model);
    }
}

TEST_CASE("granules: sums of hostile numbers do not wrap") {
    std::vector<SessionId> owners(8, 1);
    GranuleLedger granules(owners);
    CHECK(granules.give_back(1, ~std::uint64_t{0}, 2) == Verdict::kNotYours);
    CHECK(granules.give_back(1, 7, ~std::uint64_t{0}) == Verdict::kNotYours);
    CHECK(granules.give_back(1, 7, 2) == Verdict::kNotYours);
    CHECK(granules.held_by(1) == 8);
}

TEST_CASE("a worker's question about a device that is not there is answered, not obeyed") {
    Ledger ledger({{.total = 10, .quota = 5}});
    std::vector<SessionId> owners(8, 0);
    GranuleLedger granules(owners);
    const auto ask = [&](WorkerMessage message) {
        message.number = 77;
        return answer_worker(ledger, granules, 1, message);
    };
    CHECK(ask({.kind = WorkerSays::kUsage, .device = 9}).verdict == Verdict::kNoDevice);
    CHECK(ask({.kind = WorkerSays::kUsage, .device = 0}).usage.quota == 5);
    CHECK(ask({.kind = WorkerSays::kLease, .bytes = 9}).verdict == Verdict::kNoArena);
    CHECK(ask({.kind = WorkerSays::kLease, .bytes = 0}).verdict == Verdict::kNoArena);
    CHECK(ask({.kind = WorkerSays::kCharge, .bytes = 5}).number == 77);
}

}  // namespace
}  // namespace cubar::host
