// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <memory>
#include <type_traits>
#include <utility>

namespace cubar::softgpu::device {

class Stream;

/// One operation of a stream. Runs once, in stream order, on the stream's thread or on that of a
/// caller who waits for it.
class Task {
public:
    Task() = default;
    virtual ~Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    virtual void run(Stream& stream) = 0;
    /// Instead of run() once the context has faulted.
    virtual void skip(CUresult) {}
    /// False for what must run on the stream's own thread, whoever waits.
    [[nodiscard]] virtual bool may_move() const { return true; }
};

using TaskPtr = std::unique_ptr<Task>;

template <class Callable>
class CallableTask : public Task {
public:
    explicit CallableTask(Callable body) : body_(std::move(body)) {}
    void run(Stream& stream) override {
        if constexpr (std::is_invocable_v<Callable, Stream&>)
            body_(stream);
        else
            body_();
    }

private:
    Callable body_;
};

/// A task from a callable that takes no argument, or the stream on which it runs.
template <class Callable>
TaskPtr make_task(Callable callable) {
    return std::make_unique<CallableTask<Callable>>(std::move(callable));
}

/// The same for a function of the application: it runs on the stream's own thread.
template <class Callable>
TaskPtr make_callback_task(Callable callable) {
    class CallbackTask final : public CallableTask<Callable> {
    public:
        using CallableTask<Callable>::CallableTask;
        [[nodiscard]] bool may_move() const override { return false; }
    };
    return std::make_unique<CallbackTask>(std::move(callable));
}

/// A callback that runs in a faulted context too, and is told the context's error.
template <class Callable>
TaskPtr make_unskippable_callback_task(Callable callable) {
    class UnskippableCallbackTask final : public Task {
    public:
        explicit UnskippableCallbackTask(Callable body) : body_(std::move(body)) {}
        void run(Stream&) override { body_(CUDA_SUCCESS); }
        void skip(CUresult error) override { body_(error); }
        [[nodiscard]] bool may_move() const override { return false; }

    private:
        Callable body_;
    };
    return std::make_unique<UnskippableCallbackTask>(std::move(callable));
}

}  // namespace cubar::softgpu::device
