// SPDX-License-Identifier: Apache-2.0
// What a guest is told about its GPUs: a guest of cubard's, a worker process that asks NVML, and a
// made-up NVML. Called with the paths of cubar-worker and of the directory of that NVML.
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "host/cubard/guest.h"

namespace cubar::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kTotal = 1000;
constexpr std::chrono::seconds kPatience{10};

/// A directory with the made-up NVML, as if a driver lay there.
class Driver {
public:
    Driver() {
        std::string pattern = fs::temp_directory_path() / "cubar-nvml-XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        directory_ = pattern;
    }
    ~Driver() { fs::remove_all(directory_); }

    void install() const {
        fs::copy_file(std::getenv("FAKE_NVML"), directory_ / "libnvidia-ml.so.1");
    }
    void have_it_hang() const { std::fclose(std::fopen((directory_ / "hang").c_str(), "w")); }
    WorkerProgram program() const {
        return {.path = std::getenv("CUBAR_WORKER"),
                .gpu = Gpu::kNvidia,
                .driver = directory_ / "libcuda.so.1"};
    }

private:
    fs::path directory_;
};

Facts two_devices() {
    Facts facts{};
    facts.device_count = 2;
    for (std::uint8_t i = 0; i < 16; ++i) {
        facts.device[0].uuid[i] = i;
        facts.device[1].uuid[i] = 0xee;  // NVML does not know it
    }
    facts.device[0].total_bytes = facts.device[1].total_bytes = kTotal;
    return facts;
}

struct Host {
    EventLoop loop;
    Driver driver;
    WorkerSetting setting{loop, driver.program(), {}, {}};
    std::optional<TelemetrySource> source;
    Facts facts = two_devices();
    Ledger ledger{{{.total = kTotal, .quota = 0}, {.total = kTotal, .quota = 0}}};
    std::optional<Guest> guest;

    void begin(bool nvidia) {
        if (nvidia) {
            setting.telemetry = &source.emplace(setting);
        }
        VmConfig config{.name = "vm", .socket = "", .local = true};
        config.channels = 2;
        config.bar_bytes = smallest_bar(2);
        guest.emplace(config, setting, ledger, facts);
    }

    /// Asks as a guest does; what is answered.
    Telemetry ask() {
        const std::size_t bytes = sizeof(TelemetryPages);
        void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest->memory(),
                              static_cast<off_t>(MemoryPlan::kTelemetryOffset));
        REQUIRE(memory != MAP_FAILED);
        auto& pages = *static_cast<TelemetryPages*>(memory);
        const std::uint64_t before = pages.sequence.load();
        pages.asked.store(pages.asked.load() + 1);
        const std::uint64_t one = 1;
        REQUIRE(::write(guest->doorbells().front().get(), &one, sizeof one) == sizeof one);
        const auto end = std::chrono::steady_clock::now() + kPatience;
        while (pages.sequence.load() == before) {
            REQUIRE(std::chrono::steady_clock::now() < end);
            loop.step(std::chrono::milliseconds{100});
        }
        Telemetry result{};
        std::memcpy(static_cast<void*>(&result), pages.word, sizeof result);
        ::munmap(memory, bytes);
        return result;
    }

    /// Asks until NVML has said something: its process may take longer than an answer may.
    Telemetry ask_until_known() {
        const auto end = std::chrono::steady_clock::now() + kPatience;
        for (;;) {
            const Telemetry result = ask();
            if (result.device[0].known != 0) return result;
            REQUIRE(std::chrono::steady_clock::now() < end);
        }
    }
};

std::optional<std::uint64_t> value(const TelemetryDevice& device, Gauge gauge) {
    const auto index = static_cast<unsigned>(gauge);
    if ((device.known >> index & 1) == 0) return std::nullopt;
    return device.gauge[index];
}

}  // namespace

TEST_CASE("Gauges are the host's NVML's, memory is the ledger's and the card's") {
    Host host;
    host.driver.install();
    host.begin(true);
    const Telemetry told = host.ask_until_known();
    REQUIRE(told.device_count == 2);
    const TelemetryDevice& card = told.device[0];
    CHECK(value(card, Gauge::kTemperature) == 61);
    CHECK(value(card, Gauge::kPowerUsage) == 123'456);
    CHECK(value(card, Gauge::kSmClock) == 1001);
    CHECK(value(card, Gauge::kVideoClock) == 1003);
    CHECK(value(card, Gauge::kGpuUtilisation) == 70);
    CHECK(value(card, Gauge::kMemoryUtilisation) == 30);
    CHECK(value(card, Gauge::kEccMode) == 1);
    CHECK(value(card, Gauge::kPendingEccMode) == 0);
    CHECK(value(card, Gauge::kUncorrectedAggregateErrors) == 11);
    CHECK(value(card, Gauge::kFanSpeed) == std::nullopt);  // refused
    CHECK(value(card, Gauge::kMigMode) == std::nullopt);   // not there
    CHECK(std::string(card.serial) == "1234567890");
    CHECK(std::string(card.vbios).empty());
    CHECK(card.memory_total == kTotal);
    CHECK(card.memory_free == 300);
    CHECK(told.device[1].known == 0);
    CHECK(told.device[1].memory_free == kTotal);
    REQUIRE(host.ledger.charge(1, 0, 800) == Verdict::kGranted);
    CHECK(host.ask().device[0].memory_free == 200);
}

TEST_CASE("Without NVML memory is told at once and nothing else") {
    Host host;
    const bool nvidia = GENERATE(false, true);
    host.begin(nvidia);  // NVIDIA's: but no NVML lies in that directory
    REQUIRE(host.ledger.charge(1, 1, 600) == Verdict::kGranted);
    for (int i = 0; i < 3; ++i) {
        const Telemetry told = host.ask();
        CHECK(told.device[0].known == 0);
        CHECK(told.device[1].memory_free == kTotal - 600);
    }
}

TEST_CASE("An NVML that hangs holds up no answer for long") {
    Host host;
    host.driver.install();
    host.driver.have_it_hang();
    host.begin(true);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 3; ++i) {
        CHECK(host.ask().device[0].known == 0);
    }
    // Once the limit; from then on nobody waits for it.
    CHECK(std::chrono::steady_clock::now() - start < 3 * TelemetrySource::kLimit);
}

}  // namespace cubar::host
