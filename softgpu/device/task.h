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
};

using TaskPtr = std::unique_ptr<Task>;

/// A task from a callable that takes no argument, or the stream on which it runs.
template <class Callable>
TaskPtr make_task(Callable callable) {
    class CallableTask final : public Task {
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
    return std::make_unique<CallableTask>(std::move(callable));
}

/// A task that runs in a faulted context too, and is told the context's error.
template <class Callable>
TaskPtr make_unskippable_task(Callable callable) {
    class UnskippableTask final : public Task {
    public:
        explicit UnskippableTask(Callable body) : body_(std::move(body)) {}
        void run(Stream&) override { body_(CUDA_SUCCESS); }
        void skip(CUresult error) override { body_(error); }

    private:
        Callable body_;
    };
    return std::make_unique<UnskippableTask>(std::move(callable));
}

}  // namespace cubar::softgpu::device
