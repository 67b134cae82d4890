// SPDX-License-Identifier: Apache-2.0
// Decodes tokens with a transformer of random weights and prints one JSON object:
//   cubar-decode SHAPE [--tokens N] [--repetitions N] [--reference] [--latencies BYTES]
// scripts/end_to_end.py runs it natively and through cubar, and compares. Ends with 77 where the
// model does not fit.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "decoder.h"
#include "latency.h"
#include "reference.h"

namespace {

using namespace cubar::decode;

constexpr int kDoesNotFit = 77;
constexpr const char* kUsage =
    "usage: cubar-decode tiny|0.5B|8B [--tokens N] [--repetitions N] [--reference]\n"
    "                    [--latencies BYTES]\n";

struct Options {
    const Shape* shape = nullptr;
    int tokens = 32;
    int repetitions = 3;
    bool reference = false;
    int latencies = 0;  ///< bytes of a copy; 0: they are not measured
};

std::optional<Options> parse(int count, char** arguments) {
    Options options;
    if (count < 2) return std::nullopt;
    options.shape = find_shape(arguments[1]);
    for (int i = 2; i < count; ++i) {
        const std::string_view word = arguments[i];
        int* const number = word == "--tokens"        ? &options.tokens
                            : word == "--repetitions" ? &options.repetitions
                            : word == "--latencies"   ? &options.latencies
                                                      : nullptr;
        if (word == "--reference") {
            options.reference = true;
        } else if (number != nullptr && i + 1 < count) {
            const std::string_view text = arguments[++i];
            const char* const end = text.data() + text.size();
            if (std::from_chars(text.data(), end, *number).ptr != end || *number < 1) {
                return std::nullopt;
            }
        } else {
            return std::nullopt;
        }
    }
    if (options.shape == nullptr || options.tokens < 2) return std::nullopt;
    if (options.tokens + int(std::size(kPrompt)) > options.shape->context) return std::nullopt;
    return options;
}

std::string list(const std::vector<int>& values) {
    std::string text;
    for (const int value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
    return "[" + text + "]";
}

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
    return 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// One way, once for warmth (and to see the logits) and then as often as is asked. Fails where its
/// tokens change.
void measure(Decoder& decoder, Way way, const Options& options,
             const Decoder::OnLogits& on_logits = {}) {
    const std::vector<int> tokens = decoder.run(way, options.tokens, on_logits).tokens;
    std::string rates;
    for (int i = 0; i < options.repetitions; ++i) {
        const Decoder::Run run = decoder.run(way, options.tokens);
        if (run.tokens != tokens) {
            throw std::runtime_error("the same input gave other tokens the next time");
        }
        rates += (rates.empty() ? "" : ", ") + std::to_string(run.tokens_per_s);
    }
    std::printf(",\n\"%s\": {\"tokens\": %s, \"tokens_per_s\": [%s]}",
                way == Way::kGraph ? "graph" : "eager", list(tokens).c_str(), rates.c_str());
}

/// The squares of the differences, as parts of those of the reference.
double difference(std::span<const float> seen, const std::vector<float>& expected) {
    double apart = 0;
    double whole = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double by = double(seen[i]) - expected[i];
        apart += by * by;
        whole += double(expected[i]) * expected[i];
    }
    return apart / whole;
}

/// How far the greatest logit is above the next.
double margin(std::vector<float> logits) {
    std::nth_element(logits.begin(), logits.begin() + 1, logits.end(), std::greater<>());
    return logits[0] - logits[1];
}

void measure_against_reference(Decoder& decoder, Way way, const Options& options) {
    const ReferenceRun expected = reference(*options.shape, options.tokens);
    double worst = 0;
    double least = margin(expected.logits.front());
    auto at = expected.logits.begin();
    measure(decoder, way, options, [&](std::span<const float> logits) {
        // Written so that a NaN counts.
        if (const double by = difference(logits, *at); !(by <= worst)) worst = by;
        least = std::min(least, margin(*at++));
    });
    std::printf(",\n\"reference\": {\"tokens\": %s, \"worst_nmse\": %g, \"least_margin\": %g}",
                list(expected.tokens).c_str(), worst, least);
}

void print_latencies(const Latencies& seen) {
    const std::pair<const char*, double> figures[] = {
        {"launch_sync_p50_us", seen.launch_sync_p50_us},
        {"launch_sync_p99_us", seen.launch_sync_p99_us},
        {"beyond_300_p50_us", seen.beyond_300_p50_us},
        {"beyond_1000_p50_us", seen.beyond_1000_p50_us},
        {"beyond_4000_p50_us", seen.beyond_4000_p50_us},
        {"read_4_bytes_p50_us", seen.read_4_bytes_p50_us},
        {"to_device_pageable_gb_s", seen.to_device_pageable_gb_s},
        {"to_device_pinned_gb_s", seen.to_device_pinned_gb_s},
        {"to_host_pageable_gb_s", seen.to_host_pageable_gb_s},
        {"to_host_pinned_gb_s", seen.to_host_pinned_gb_s},
        {"upload_gb_s", seen.upload_gb_s},
        {"module_ms", seen.module_ms}};
    const char* before = ",\n\"latencies\": {";
    for (const auto& [name, value] : figures) {
        std::printf("%s\"%s\": %g", before, name, value);
        before = ", ";
    }
    std::printf("}");
}

int run(const Options& options) {
    const Shape& shape = *options.shape;
    auto begin = std::chrono::steady_clock::now();
    CUBAR_CHECK(cudaFree(nullptr));
    const double context_ms = milliseconds_since(begin);
    std::size_t free = 0;
    std::size_t total = 0;
    CUBAR_CHECK(cudaMemGetInfo(&free, &total));
    // What cuBLAS and the driver take besides.
    const std::size_t needed = bytes_needed(shape) + (std::size_t{1} << 30);
    if (needed > free) {
        std::fprintf(stderr, "%s needs %.1f GiB of device memory, and %.1f are free\n", shape.name,
                     double(needed) / 0x1p30, double(free) / 0x1p30);
        return kDoesNotFit;
    }
    begin = std::chrono::steady_clock::now();
    const Library library;
    const double cublas_ms = milliseconds_since(begin);
    begin = std::chrono::steady_clock::now();
    Decoder decoder(shape, library);
    const double ready_ms = milliseconds_since(begin);
    std::printf(
        "{\"shape\": \"%s\", \"parameters\": %zu, \"graph_nodes\": %zu,\n"
        "\"start\": {\"context_ms\": %g, \"cublas_ms\": %g, \"first_token_ms\": %g}",
        shape.name, parameters(shape), decoder.graph_nodes(), context_ms, cublas_ms, ready_ms);
    measure(decoder, Way::kEager, options);
    if (options.reference) {
        measure_against_reference(decoder, Way::kGraph, options);
    } else {
        measure(decoder, Way::kGraph, options);
    }
    if (options.latencies != 0) {
        print_latencies(measure_latencies(std::size_t(options.latencies), library.stream()));
    }
    std::printf("}\n");
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    const auto options = parse(count, arguments);
    if (!options) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    try {
        return run(*options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cubar-decode: %s\n", error.what());
        return 1;
    }
}
