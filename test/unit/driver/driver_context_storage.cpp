// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>
#include <vector>

#include "driver/context_storage.h"

using namespace cubar::driver;

namespace {

int cells[8];
void* cell(int index) {
    return &cells[index];
}
const auto kContext = reinterpret_cast<CUcontext>(&cells);

struct Destroyed {
    CUcontext context;
    void* key;
    void* value;
    bool operator==(const Destroyed&) const = default;
};
std::vector<Destroyed> destroyed;

void note(CUcontext context, void* key, void* value) {
    destroyed.push_back({context, key, value});
}

ContextStorage* reentered = nullptr;

void reenter(CUcontext context, void* key, void* value) {
    note(context, key, value);
    void* found = nullptr;
    CHECK_FALSE(reentered->get(key, &found));
    reentered->put(cell(7), value, nullptr);
}

}  // namespace

TEST_CASE("context storage keeps one value per key") {
    ContextStorage storage;
    void* value = cell(6);
    CHECK_FALSE(storage.get(cell(0), &value));
    CHECK(value == cell(6));
    storage.put(cell(0), cell(1), nullptr);
    storage.put(cell(2), cell(3), nullptr);
    CHECK(storage.get(cell(0), &value));
    CHECK(value == cell(1));
    CHECK(storage.get(cell(2), &value));
    CHECK(value == cell(3));
    storage.put(cell(0), cell(4), nullptr);
    CHECK(storage.get(cell(0), &value));
    CHECK(value == cell(4));
    CHECK(storage.remove(cell(0)));
    CHECK_FALSE(storage.remove(cell(0)));
    CHECK_FALSE(storage.get(cell(0), &value));
    CHECK(storage.get(cell(2), &value));
}

TEST_CASE("clear runs the destructor of what is still there, once") {
    destroyed.clear();
    ContextStorage storage;
    storage.put(cell(0), cell(1), note);
    storage.put(cell(0), cell(2), note);
    storage.put(cell(3), cell(4), note);
    storage.put(cell(5), cell(6), nullptr);
    CHECK(storage.remove(cell(3)));
    CHECK(destroyed.empty());
    storage.clear(kContext);
    CHECK(destroyed == std::vector<Destroyed>{{kContext, cell(0), cell(2)}});
    storage.clear(kContext);
    CHECK(destroyed.size() == 1);
    void* value = nullptr;
    CHECK_FALSE(storage.get(cell(5), &value));
}

TEST_CASE("a destructor may use the storage that is being cleared") {
    destroyed.clear();
    ContextStorage storage;
    reentered = &storage;
    storage.put(cell(0), cell(1), reenter);
    storage.clear(kContext);
    CHECK(destroyed.size() == 1);
    void* value = nullptr;
    CHECK(storage.get(cell(7), &value));
}

TEST_CASE("threads may use context storage at once") {
    ContextStorage storage;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&storage, thread] {
            for (int round = 0; round < 2000; ++round) {
                storage.put(cell(thread), cell(thread), nullptr);
                void* value = nullptr;
                const bool found = storage.get(cell(thread), &value);
                if (!found || value != cell(thread) || !storage.remove(cell(thread))) {
                    std::abort();
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    void* value = nullptr;
    CHECK_FALSE(storage.get(cell(0), &value));
}
