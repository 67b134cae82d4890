// SPDX-License-Identifier: Apache-2.0
// What a probe is: one assumption about the driver, the sentence of the design that rests on it,
// and a piece of code that finds out whether it holds.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cubar::probe {

/// Which libraries an assumption is about.
enum class Asked {
    kEverywhere,  ///< programs see it: it holds for the host's driver and for cubar's libcuda.so.1
    kHost,        ///< only the worker rests on it: NVIDIA's driver and the software GPU
    kNvidia,      ///< NVIDIA's driver alone: the software GPU has no such thing
};

/// What one probe found. Not thread-safe.
class Report {
public:
    /// Notes what was seen; joined by "; " in the order of the calls.
    void observe(std::string_view text);
    /// Notes it too, and the assumption is refuted unless `holds`.
    void expect(bool holds, std::string_view text);

    bool holds() const { return holds_; }
    const std::string& observed() const { return observed_; }

private:
    bool holds_ = true;
    std::string observed_;
};

struct Probe {
    const char* name;
    Asked asked;
    const char* expected;  ///< the assumption, as a sentence
    const char* design;    ///< what rests on it, in the design's words
    void (*run)(Report&);  ///< in a process of its own, the driver loaded and not initialised
};

std::span<const Probe> process_probes();
std::span<const Probe> memory_probes();
std::span<const Probe> address_probes();
std::span<const Probe> pool_probes();
std::span<const Probe> fence_probes();
std::span<const Probe> queue_probes();
std::span<const Probe> copy_probes();
std::span<const Probe> stream_probes();
std::span<const Probe> launch_probes();
std::span<const Probe> fault_probes();
std::span<const Probe> output_probes();

}  // namespace cubar::probe
