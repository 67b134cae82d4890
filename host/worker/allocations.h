// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "cubar/handle.h"

namespace cubar::host {

class ControlClient;

/// What this session was charged for, by what it was charged for, so that exactly that is given
/// back. Thread-safe.
///
/// The ledger counts device memory that the guest asks for, variables of the code that it loads
/// among it, the bytes of that code as an estimate of what it occupies, what contexts take for
/// themselves, as a probe measured it, and what a limit takes that the guest has set (stack, heap,
/// printf's buffer), and local memory of the kernels that it launches.
class Allocations {
public:
    explicit Allocations(ControlClient& control) : control_(control) {}

    /// A charge that is taken back unless it is kept.
    class Charge {
    public:
        Charge() = default;
        Charge(const Charge&) = delete;
        Charge& operator=(const Charge&) = delete;
        Charge(Charge&& other) noexcept;
        Charge& operator=(Charge&&) = delete;
        ~Charge();
        explicit operator bool() const { return owner_ != nullptr; }

        /// What was charged for exists now: a device address, or the bits of a handle.
        void keep(std::uint64_t key, ContextHandle context);
        /// What take() took was not freed after all.
        void put_back();

    private:
        friend class Allocations;
        Allocations* owner_ = nullptr;
        std::uint32_t device_ = 0;
        std::uint64_t bytes_ = 0;
        std::uint64_t key_ = 0;
        ContextHandle context_;
    };

    /// Asks the ledger before an allocation. An empty charge: refused.
    Charge charge(std::uint32_t device, std::uint64_t bytes);

    /// What is charged for something that grows and shrinks becomes `bytes`. False: the ledger
    /// refuses, and the charge is as before.
    bool resize(std::uint64_t key, std::uint32_t device, std::uint64_t bytes,
                ContextHandle context = {});

    /// It is about to be freed. An empty charge: nothing was charged for it.
    Charge take(std::uint64_t key);
    /// What this session holds of the device, in bytes.
    std::uint64_t held(std::uint32_t device);
    /// All that lived in the context is freed with it.
    void credit_context(ContextHandle context);

private:
    struct Held {
        std::uint32_t device;
        std::uint64_t bytes;
        ContextHandle context;
    };

    ControlClient& control_;
    std::mutex mutex_;
    std::map<std::uint64_t, Held> held_;
};

}  // namespace cubar::host
