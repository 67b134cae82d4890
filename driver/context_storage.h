// SPDX-License-Identifier: Apache-2.0
// Context-local storage: what cudart keeps with a context (export table c693336e).
#pragma once

#include <cuda.h>

#include <mutex>
#include <vector>

namespace cubar::driver {

// The values of one context. A library keeps one with each context, by shared_ptr, so that a
// thread in a lookup survives another that destroys the context. Thread-safe.
class ContextStorage {
public:
    // Runs outside the lock and may call back into this object.
    using Destructor = void (*)(CUcontext context, void* key, void* value);

    ContextStorage() = default;
    ContextStorage(const ContextStorage&) = delete;
    ContextStorage& operator=(const ContextStorage&) = delete;

    // Replaces the value of a key that is there, without running its destructor.
    // `destructor` may be null.
    void put(void* key, void* value, Destructor destructor);

    // Forgets the key without running its destructor; false if it was not there.
    bool remove(void* key) noexcept;

    // False, and `value` untouched, if the key is not there.
    bool get(void* key, void** value) const noexcept;

    // Empties the storage, running each value's destructor once with `context`. The library
    // calls it when it resets or destroys the context, before the handle dies and without
    // holding a lock of its own.
    void clear(CUcontext context) noexcept;

private:
    struct Item {
        void* key;
        void* value;
        Destructor destructor;
    };

    mutable std::mutex mutex_;
    std::vector<Item> items_;  // a handful per context: cudart and each cuBLAS have one key
};

}  // namespace cubar::driver
