// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <string>

#include "driver/export_tables.h"
#include "driver/log.h"

using namespace cubar::driver;

namespace {

int contexts[3];
const auto kPrimary = reinterpret_cast<CUcontext>(&contexts[0]);
const auto kOther = reinterpret_cast<CUcontext>(&contexts[1]);
const auto kDead = reinterpret_cast<CUcontext>(&contexts[2]);

CUcontext current = nullptr;
const auto kPrimaryStorage = std::make_shared<ContextStorage>();
const auto kOtherStorage = std::make_shared<ContextStorage>();

DeviceIdentity identity(unsigned ordinal) {
    DeviceIdentity device{};
    device.uuid.bytes[0] = static_cast<char>(ordinal + 1);
    device.pci_bus = static_cast<int>(ordinal) + 1;
    return device;
}

const ExportHooks kHooks{
    .current_context =
        [](CUcontext* context) {
            *context = current;
            return CUDA_SUCCESS;
        },
    .primary_context =
        [](CUdevice device, CUcontext* context) {
            if (device != 0) {
                return CUDA_ERROR_INVALID_DEVICE;
            }
            *context = kPrimary;
            return CUDA_SUCCESS;
        },
    .context_storage = [](CUcontext context) -> std::shared_ptr<ContextStorage> {
        return context == kPrimary ? kPrimaryStorage : context == kOther ? kOtherStorage : nullptr;
    },
    .context_id =
        [](CUcontext context, std::uint64_t* id) {
            *id = context == kPrimary ? 7 : 8;
            return CUDA_SUCCESS;
        },
    .stream_id =
        [](CUcontext, CUstream stream, std::uint64_t* id) {
            *id = reinterpret_cast<std::uint64_t>(stream) + 100;
            return CUDA_SUCCESS;
        },
    .driver_version = [] { return 13000; },
    .device_count = [] { return 2U; },
    .device_identity = identity,
};

CUuuid uuid(const char* text) {
    CUuuid result{};
    std::size_t index = 0;
    for (const char* at = text; *at != '\0'; at += *at == '-' ? 1 : 2) {
        if (*at != '-') {
            result.bytes[index++] = static_cast<char>(std::stoi(std::string(at, 2), nullptr, 16));
        }
    }
    return result;
}

using Slots = const void* const*;

Slots table(const char* id) {
    const CUuuid parsed = uuid(id);
    const void* result = nullptr;
    REQUIRE(get_export_table(&result, &parsed, kHooks) == CUDA_SUCCESS);
    REQUIRE(result != nullptr);
    return static_cast<Slots>(result);
}

template <typename Function>
Function* slot(Slots slots, std::size_t index) {
    return reinterpret_cast<Function*>(const_cast<void*>(slots[index]));
}

constexpr auto kRuntime = "6bd5fb6c-5bf4-e74a-8987-d93912fd9df9";
constexpr auto kStorage = "c693336e-1121-df11-a8c3-68f355d89593";
constexpr auto kIntegrity = "d4082055-bde6-704b-8d34-ba123c66e1f2";
constexpr auto kStreams = "21318c60-9714-3248-8ca6-41ff7324c8f2";

}  // namespace

TEST_CASE("every known table is there, the same each time, and says its size") {
    const std::array ids{"f8cff951-2146-8b4e-b9e2-fb469e7c0dd9",
                         kRuntime,
                         "a094798c-2e74-2e74-93f2-0800200c0a66",
                         "42d85a81-23f6-cb47-8298-f6e78a3aecdc",
                         "263e8860-7cd2-6143-92f6-bbd5006dfa7e",
                         kIntegrity,
                         kStreams,
                         "1734dc26-800d-4745-8726-c0f1e7dd8bca"};
    for (const char* id : ids) {
        INFO(id);
        const Slots slots = table(id);
        CHECK(table(id) == slots);
        const auto bytes = reinterpret_cast<std::uintptr_t>(slots[0]);
        REQUIRE(bytes % sizeof(void*) == 0);
        REQUIRE(bytes >= 3 * sizeof(void*));
        REQUIRE(bytes <= 64 * sizeof(void*));
        for (std::size_t index = 1; index < bytes / sizeof(void*); ++index) {
            CHECK(slots[index] != nullptr);
        }
    }
    for (std::size_t index = 0; index < 4; ++index) {
        CHECK(table(kStorage)[index] != nullptr);
    }
}

TEST_CASE("an unknown table is denied, and bad arguments too") {
    const CUuuid unknown = uuid("00112233-4455-6677-8899-aabbccddeeff");
    const void* result = &unknown;
    CHECK(get_export_table(&result, &unknown, kHooks) == CUDA_ERROR_INVALID_VALUE);
    CHECK(result == nullptr);
    CHECK(get_export_table(nullptr, &unknown, kHooks) == CUDA_ERROR_INVALID_VALUE);
    CHECK(get_export_table(&result, nullptr, kHooks) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("what nobody knows is refused and logged") {
    char path[] = "/tmp/cubar-export-test-XXXXXX";
    close(mkstemp(path));
    setenv("CUBAR_LOG", path, 1);
    log_reread_environment();
    CHECK(slot<CUresult()>(table(kStreams), 17)() == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(slot<CUresult()>(table(kStorage), 3)() == CUDA_ERROR_NOT_SUPPORTED);
    const CUuuid unknown = uuid("00112233-4455-6677-8899-aabbccddeeff");
    const void* result = nullptr;
    CHECK(get_export_table(&result, &unknown, kHooks) == CUDA_ERROR_INVALID_VALUE);
    unsetenv("CUBAR_LOG");
    log_reread_environment();
    std::ifstream file(path);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    unlink(path);
    CHECK(text.find("21318c60: slot 17") != std::string::npos);
    CHECK(text.find("c693336e: slot 3") != std::string::npos);
    CHECK(text.find("00112233-4455-6677-8899-aabbccddeeff") != std::string::npos);
}

TEST_CASE("the runtime's table gives the primary context") {
    auto* primary = slot<CUresult(CUcontext*, CUdevice)>(table(kRuntime), 2);
    CUcontext context = nullptr;
    CHECK(primary(&context, 0) == CUDA_SUCCESS);
    CHECK(context == kPrimary);
    CHECK(primary(&context, 1) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(primary(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("context storage is per context, 0 the current one") {
    auto* put =
        slot<CUresult(CUcontext, void*, void*, ContextStorage::Destructor)>(table(kStorage), 0);
    auto* remove = slot<CUresult(CUcontext, void*)>(table(kStorage), 1);
    auto* get = slot<CUresult(void**, CUcontext, void*)>(table(kStorage), 2);
    int key = 0;
    int value = 0;
    int other_value = 0;
    void* found = nullptr;

    current = nullptr;
    CHECK(put(nullptr, &key, &value, nullptr) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(get(&found, nullptr, &key) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(put(kDead, &key, &value, nullptr) == CUDA_ERROR_INVALID_CONTEXT);

    current = kPrimary;
    CHECK(get(&found, nullptr, &key) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(put(nullptr, &key, &value, nullptr) == CUDA_SUCCESS);
    CHECK(put(kOther, &key, &other_value, nullptr) == CUDA_SUCCESS);
    CHECK(get(&found, kPrimary, &key) == CUDA_SUCCESS);
    CHECK(found == &value);
    current = kOther;
    CHECK(get(&found, nullptr, &key) == CUDA_SUCCESS);
    CHECK(found == &other_value);
    CHECK(get(nullptr, nullptr, &key) == CUDA_ERROR_INVALID_VALUE);
    CHECK(remove(nullptr, &key) == CUDA_SUCCESS);
    CHECK(remove(nullptr, &key) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(remove(kDead, &key) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(get(&found, kPrimary, &key) == CUDA_SUCCESS);
    CHECK(remove(kPrimary, &key) == CUDA_SUCCESS);
}

TEST_CASE("the integrity slot hashes what cudart hashes") {
    const Slots slots = table(kIntegrity);
    auto* integrity = slot<CUresult(std::uint32_t, std::uint64_t, std::uint64_t*)>(slots, 1);
    std::array<std::uint64_t, 2> answer{};
    CHECK(integrity(13000, 1, answer.data()) == CUDA_SUCCESS);
    CHECK(answer == std::array<std::uint64_t, 2>{0x3341181c03cb675c, 0x8ed383aa1f4cd1e8});
    CHECK(integrity(13001, 1, answer.data()) == CUDA_SUCCESS);
    CHECK(answer == std::array<std::uint64_t, 2>{0x1841181c03cb675c, 0x8ed383aa1f4cd1e8});
    CHECK(integrity(13002, 12345, answer.data()) == CUDA_SUCCESS);
    const IntegrityFacts facts{
        .driver_version = 13000,
        .requested_version = 13002,
        .process = static_cast<std::uint32_t>(getpid()),
        .thread = static_cast<std::uint32_t>(pthread_self()),
        .runtime_table = reinterpret_cast<std::uintptr_t>(table(kRuntime)),
        .integrity_table = reinterpret_cast<std::uintptr_t>(slots),
        .integrity_function = reinterpret_cast<std::uintptr_t>(slots[1]),
        .unix_seconds = 12345,
    };
    const std::array devices{identity(0), identity(1)};
    const Digest expected = integrity_digest(facts, devices);
    CHECK(std::memcmp(answer.data(), expected.data(), expected.size()) == 0);
    CHECK(integrity(13002, 1, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("contexts and streams have objects and ids") {
    const Slots slots = table(kStreams);
    auto* of_context = slot<CUresult(CUcontext, std::uint64_t*)>(slots, 4);
    auto* of_stream = slot<CUresult(CUcontext, CUstream, std::uint64_t*)>(slots, 51);
    auto* id_of = slot<CUresult(CUcontext, std::uint64_t, std::uint64_t*)>(slots, 39);
    current = kPrimary;
    std::uint64_t context_id = 0;
    CHECK(of_context(nullptr, &context_id) == CUDA_SUCCESS);
    CHECK(context_id == 7);
    std::uint64_t object = 0;
    std::uint64_t id = 0;
    const auto stream = reinterpret_cast<CUstream>(std::uintptr_t{0x5000});
    CHECK(of_stream(nullptr, stream, &object) == CUDA_SUCCESS);
    CHECK(id_of(nullptr, object, &id) == CUDA_SUCCESS);
    CHECK(id == 0x5000 + 100);
    // The default stream is the legacy one, by whichever name.
    std::uint64_t legacy = 0;
    CHECK(of_stream(kPrimary, nullptr, &object) == CUDA_SUCCESS);
    CHECK(of_stream(kPrimary, CU_STREAM_LEGACY, &legacy) == CUDA_SUCCESS);
    CHECK(object == legacy);
    CHECK(of_stream(kPrimary, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(id_of(kPrimary, object, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(of_context(kPrimary, nullptr) == CUDA_ERROR_INVALID_VALUE);
    current = nullptr;
    CHECK(of_context(nullptr, &context_id) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(of_stream(nullptr, stream, &object) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(id_of(nullptr, object, &id) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("the small tables answer as observed") {
    const Slots buffers = table("a094798c-2e74-2e74-93f2-0800200c0a66");
    for (const auto& [index, size] : {std::pair<std::size_t, std::size_t>{2, 1024}, {6, 14}}) {
        void* buffer = nullptr;
        std::size_t length = 0;
        slot<void(void**, std::size_t*)>(buffers, index)(&buffer, &length);
        REQUIRE(length == size);
        const std::string zeros(length, '\0');
        CHECK(std::memcmp(buffer, zeros.data(), length) == 0);
        slot<void(void**, std::size_t*)>(buffers, index)(nullptr, &length);
    }

    auto* tools = slot<CUresult(CUcontext*)>(table("42d85a81-23f6-cb47-8298-f6e78a3aecdc"), 2);
    CUcontext context = kPrimary;
    CHECK(tools(&context) == CUDA_SUCCESS);
    CHECK(context == nullptr);
    CHECK(tools(nullptr) == CUDA_ERROR_INVALID_VALUE);

    const Slots checks = table("263e8860-7cd2-6143-92f6-bbd5006dfa7e");
    auto* check = slot<CUresult(CUcontext, std::uint32_t*, const void**)>(checks, 2);
    std::uint32_t bits = 99;
    CHECK(check(kPrimary, &bits, nullptr) == CUDA_SUCCESS);
    CHECK(bits == 0);
    CHECK(check(kPrimary, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(slot<std::uint32_t()>(checks, 3)() == 0);

    auto* pair = slot<CUresult(std::uint64_t*, std::uint64_t*)>(
        table("1734dc26-800d-4745-8726-c0f1e7dd8bca"), 4);
    std::uint64_t first = 1;
    std::uint64_t second = 1;
    CHECK(pair(&first, &second) == CUDA_SUCCESS);
    CHECK((first == 0 && second == 0));
    CHECK(pair(nullptr, &second) == CUDA_ERROR_INVALID_VALUE);
}
