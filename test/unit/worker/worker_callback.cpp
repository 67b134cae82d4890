// SPDX-License-Identifier: Apache-2.0
// Functions of the guest that the driver calls in threads of its own.
#include <thread>

#include "fake_session.h"
#include "host/worker/callback.h"

using namespace cubar;
using namespace cubar::host::test;
using cubar::host::host_call_data;
using cubar::host::HostCalls;

namespace {

FakeDriver* driver = nullptr;

/// A session whose driver keeps the function that it is given last.
struct CallingSession : FakeSession {
    CallingSession() {
        ::driver = &driver;
        driver.table.cuLaunchHostFunc = [](CUstream, CUhostFn function, void* data) {
            CHECK(function == &HostCalls::host_function);
            return ::driver->called("host function " +
                                    std::to_string(reinterpret_cast<std::uint64_t>(data)));
        };
        context = make_context();
    }

    Pending ask(std::uint64_t finished, bool wait = true) {
        wire::host_call_wait::Request request{};
        request.finished = finished;
        request.wait = wait ? 1 : 0;
        return begin<wire::host_call_wait>({}, {}, request);
    }
    wire::host_call_wait::Reply answer(Pending asked) {
        wire::host_call_wait::Reply reply{};
        CHECK(asked.wait(reply) == CUDA_SUCCESS);
        return reply;
    }

    ContextHandle context;
};

}  // namespace

TEST_CASE("the driver's thread goes on when the guest has called the function", "[callback]") {
    CallingSession fake;
    wire::cuLaunchHostFunc::Request launch{};
    launch.call = 5;
    fake.post<wire::cuLaunchHostFunc>(fake.context, {}, launch);
    auto asked = fake.ask(0);
    std::atomic<bool> returned{false};
    std::thread stream([&] {
        HostCalls::host_function(host_call_data(5));
        returned = true;
    });
    const auto due = fake.answer(std::move(asked));
    CHECK(fake.driver.count("host function 5") == 1);
    CHECK(due.call == 5);
    REQUIRE(due.ticket != 0);
    CHECK(due.status == CUDA_SUCCESS);
    // Another answer does not end it.
    CHECK(fake.answer(fake.ask(due.ticket + 1, false)).call == 0);
    CHECK(!returned);
    CHECK(fake.answer(fake.ask(due.ticket, false)).call == 0);
    stream.join();
}

TEST_CASE("functions are called in the order in which they are due", "[callback]") {
    CallingSession fake;
    std::thread first([] { HostCalls::host_function(host_call_data(1)); });
    const auto one = fake.answer(fake.ask(0));
    CHECK(one.call == 1);
    std::thread second(
        [] { HostCalls::stream_callback(nullptr, CUDA_ERROR_ILLEGAL_ADDRESS, host_call_data(2)); });
    const auto two = fake.answer(fake.ask(0));
    CHECK(two.call == 2);
    CHECK(two.status == CUDA_ERROR_ILLEGAL_ADDRESS);
    // They may be finished in any order.
    fake.answer(fake.ask(two.ticket, false));
    second.join();
    fake.answer(fake.ask(one.ticket, false));
    first.join();
}

TEST_CASE("a guest that waits in vain can be called back", "[callback]") {
    CallingSession fake;
    auto asked = fake.ask(0);
    fake.post<wire::host_call_idle>({}, {}, {});
    const auto idle = fake.answer(std::move(asked));
    CHECK(idle.ticket == 0);
    // Also where it says so before it waits.
    fake.post<wire::host_call_idle>({}, {}, {});
    CHECK(fake.answer(fake.ask(0)).ticket == 0);
    // Other calls are answered while one waits.
    auto waiting = fake.ask(0);
    wire::cuMemGetInfo_v2::Reply info{};
    CHECK(fake.call<wire::cuMemGetInfo_v2>(fake.context, {}, {}, info) == CUDA_SUCCESS);
    fake.post<wire::host_call_idle>({}, {}, {});
    const auto last = fake.answer(std::move(waiting));
    CHECK(last.ticket == 0);
}
