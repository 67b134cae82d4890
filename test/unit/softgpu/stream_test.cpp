// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <thread>
#include <vector>

#include "softgpu/device/error.h"
#include "softgpu/device/event.h"
#include "softgpu/device/stream_set.h"

using namespace cubar::softgpu::device;

namespace {

struct Fixture {
    std::shared_ptr<FaultState> fault = std::make_shared<FaultState>();
    StreamSet streams{{nullptr, 4, fault}};

    StreamRef blocking() { return streams.create(CU_STREAM_DEFAULT, 0); }
    StreamRef independent() { return streams.create(CU_STREAM_NON_BLOCKING, 0); }
};

/// An operation that lasts until it is opened.
class Gate {
public:
    TaskPtr task() {
        return make_task([opened = opened_] { opened.wait(); });
    }
    void open() { promise_.set_value(); }

private:
    std::promise<void> promise_;
    std::shared_future<void> opened_ = promise_.get_future().share();
};

TaskPtr note(std::vector<int>& order, int number) {
    return make_task([&order, number] { order.push_back(number); });
}

CUresult error_of(auto body) {
    try {
        body();
        return CUDA_SUCCESS;
    } catch (const Error& error) {
        return error.code();
    }
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a stream works in order") {
    const StreamRef stream = independent();
    std::vector<int> order;
    for (int i = 0; i < 100; ++i) streams.submit(stream, note(order, i));
    streams.wait_for(stream);
    REQUIRE(order.size() == 100);
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(stream->idle());
}

TEST_CASE_METHOD(Fixture, "the legacy stream waits for blocking streams, and they for it") {
    const StreamRef one = blocking();
    const StreamRef two = blocking();
    Gate gate;
    std::vector<int> order;
    streams.submit(one, gate.task());
    streams.submit(one, note(order, 1));
    const Point legacy = streams.submit(streams.legacy(), note(order, 2));
    const Point after = streams.submit(two, note(order, 3));
    CHECK_FALSE(legacy.done());
    CHECK_FALSE(after.done());
    gate.open();
    after.wait();
    CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE_METHOD(Fixture, "a non-blocking stream takes no part in the legacy order") {
    const StreamRef stream = independent();
    Gate gate;
    streams.submit(streams.legacy(), gate.task());
    std::atomic<bool> ran = false;
    streams.submit(stream, make_task([&] { ran = true; })).wait();
    CHECK(ran);
    CHECK_FALSE(streams.legacy()->idle());

    Gate second;
    streams.submit(stream, second.task());
    gate.open();
    streams.submit(streams.legacy(), make_task([] {})).wait();
    CHECK_FALSE(stream->idle());
    second.open();
    streams.wait();
    CHECK(streams.idle());
}

TEST_CASE_METHOD(Fixture, "each thread has a default stream of its own") {
    const StreamRef mine = streams.per_thread();
    CHECK(streams.per_thread() == mine);
    CHECK(mine->blocking());
    StreamRef other;
    std::thread([&] { other = streams.per_thread(); }).join();
    CHECK(other != mine);
}

TEST_CASE_METHOD(Fixture, "an idle stream's work is done by the caller who waits for it") {
    const StreamRef stream = independent();
    std::thread::id executor;
    streams.execute(stream, make_task([&] { executor = std::this_thread::get_id(); }));
    CHECK(executor == std::this_thread::get_id());

    Gate gate;
    streams.submit(stream, gate.task());
    std::thread waiter([&] {
        streams.execute(stream, make_task([&] { executor = std::this_thread::get_id(); }));
    });
    const auto caller = waiter.get_id();
    gate.open();
    waiter.join();
    // Whoever did it, it came after the gate; and if the gate was still shut, on the stream.
    CHECK((executor == caller || executor != std::this_thread::get_id()));
}

TEST_CASE_METHOD(Fixture, "a full queue makes the caller wait") {
    const StreamRef stream = independent();
    Gate gate;
    streams.submit(stream, gate.task());
    for (int i = 0; i < 3; ++i) streams.submit(stream, make_task([] {}));
    std::promise<void> entered;
    std::atomic<bool> returned = false;
    std::thread caller([&] {
        entered.set_value();
        streams.submit(stream, make_task([] {}));
        returned = true;
    });
    entered.get_future().wait();
    // The queue holds four operations until the gate opens, so the fifth cannot have got in.
    CHECK_FALSE(returned);
    gate.open();
    caller.join();
    streams.wait();
    CHECK(returned);
}

TEST_CASE_METHOD(Fixture, "an event is where its last record stands") {
    const StreamRef stream = independent();
    Event event(nullptr, CU_EVENT_DEFAULT);
    CHECK(event.point().done());
    Gate gate;
    streams.submit(stream, gate.task());
    event.record(streams, stream);
    CHECK_FALSE(event.point().done());

    const StreamRef other = independent();
    std::atomic<bool> ran = false;
    const Point after = streams.submit(other, make_task([&] { ran = true; }), {event.point()});
    CHECK_FALSE(after.done());
    gate.open();
    after.wait();
    CHECK(ran);
    CHECK(event.point().done());
}

TEST_CASE_METHOD(Fixture,
                 "time passes between two events, and CUDA's errors say why it is unknown") {
    const StreamRef stream = independent();
    Event start(nullptr, CU_EVENT_DEFAULT);
    Event end(nullptr, CU_EVENT_DEFAULT);
    Event untimed(nullptr, CU_EVENT_DISABLE_TIMING);
    CHECK(error_of([&] { (void)Event::elapsed(start, end); }) == CUDA_ERROR_INVALID_HANDLE);
    start.record(streams, stream);
    untimed.record(streams, stream);
    Gate gate;
    streams.submit(stream, gate.task());
    end.record(streams, stream);
    CHECK(error_of([&] { (void)Event::elapsed(start, end); }) == CUDA_ERROR_NOT_READY);
    CHECK(error_of([&] { (void)Event::elapsed(start, untimed); }) == CUDA_ERROR_INVALID_HANDLE);
    gate.open();
    end.point().wait();
    CHECK(Event::elapsed(start, end) > 0);
    CHECK(Event::elapsed(end, start) < 0);
    CHECK(Event::elapsed(start, start) == 0);
}

TEST_CASE_METHOD(Fixture, "after a fault nothing is done but callbacks, which learn of it") {
    const StreamRef stream = independent();
    streams.submit(stream, make_task([this] { fault->set(CUDA_ERROR_ILLEGAL_ADDRESS); }));
    streams.wait();
    fault->set(CUDA_ERROR_ASSERT);
    CHECK(fault->get() == CUDA_ERROR_ILLEGAL_ADDRESS);
    bool ran = false;
    CUresult told = CUDA_SUCCESS;
    streams.submit(stream, make_task([&] { ran = true; }));
    streams.submit(stream, make_unskippable_callback_task([&](CUresult error) { told = error; }))
        .wait();
    CHECK_FALSE(ran);
    CHECK(told == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(Fixture, "a destroyed stream's work is still done, and still in order") {
    StreamRef stream = blocking();
    Gate gate;
    std::vector<int> order;
    streams.submit(stream, gate.task());
    streams.submit(stream, note(order, 1));
    streams.remove(stream);
    stream.reset();
    const Point legacy = streams.submit(streams.legacy(), note(order, 2));
    CHECK_FALSE(legacy.done());
    gate.open();
    legacy.wait();
    CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE_METHOD(Fixture, "many threads, many streams: every operation is done once") {
    constexpr int kThreads = 4;
    constexpr int kOperations = 200;
    const StreamRef shared = blocking();
    std::atomic<int> done = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < kOperations; ++n) {
                streams.submit(streams.per_thread(), make_task([&] { ++done; }));
                streams.submit(shared, make_task([&] { ++done; }));
                streams.submit(streams.legacy(), make_task([&] { ++done; }));
            }
        });
    for (std::thread& thread : threads) thread.join();
    streams.wait();
    CHECK(done == 3 * kThreads * kOperations);
}

TEST_CASE_METHOD(Fixture, "a brief operation runs at once on the caller's thread, or in its turn") {
    const StreamRef stream = independent();
    const auto caller = std::this_thread::get_id();
    std::thread::id ran_on;
    const auto body = [&] { ran_on = std::this_thread::get_id(); };
    const Point first = streams.submit_brief(stream, body);
    CHECK(first.done());
    CHECK(ran_on == caller);

    Gate gate;
    std::vector<int> order;
    streams.submit(stream, gate.task());
    streams.submit(stream, note(order, 1));
    const Point second = streams.submit_brief(stream, [&] { order.push_back(2); });
    CHECK_FALSE(second.done());
    gate.open();
    second.wait();
    CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE_METHOD(Fixture, "a brief operation does not happen in a faulted context") {
    const StreamRef stream = independent();
    fault->set(CUDA_ERROR_ILLEGAL_ADDRESS);
    bool ran = false;
    CHECK(streams.submit_brief(stream, [&] { ran = true; }).done());
    CHECK_FALSE(ran);
}

TEST_CASE_METHOD(Fixture, "a callback never runs on the thread that waits for it") {
    const StreamRef stream = independent();
    for (int i = 0; i < 200; ++i) {
        std::thread::id ran_on;
        streams.submit(stream, make_callback_task([&] { ran_on = std::this_thread::get_id(); }))
            .wait();
        REQUIRE(ran_on != std::thread::id());
        REQUIRE(ran_on != std::this_thread::get_id());
    }
}

TEST_CASE_METHOD(Fixture, "operations keep their order while several threads wait for them") {
    const StreamRef one = independent();
    const StreamRef two = independent();
    std::vector<int> order;  // written by one operation at a time
    constexpr int kEach = 300;
    std::vector<std::thread> waiters;
    Point last;
    for (int i = 0; i < kEach; ++i) {
        const Point before = streams.submit(one, note(order, 2 * i), {last});
        last = streams.submit(two, note(order, 2 * i + 1), {before});
        if (i % 100 == 0) waiters.emplace_back([last] { last.wait(); });
    }
    last.wait();
    for (std::thread& waiter : waiters) waiter.join();
    REQUIRE(order.size() == 2 * kEach);
    CHECK(std::is_sorted(order.begin(), order.end()));
}
