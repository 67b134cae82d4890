// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace llama_test {

namespace {

constexpr const char* usage =
    "usage: generate --libraries DIR --model FILE [--device cpu|cuda] [--tokens N]\n"
    "    [--prompt-length N] [--batch N] [--context N] [--sequences N] [--requests N]\n"
    "    [--flash on|off] [--kv f16|q8_0] [--logits FILE] [--follow TOKEN,TOKEN,...]\n"
    "    [--text] [--verbose] [--count]\n"
    "--text prints each token's text too, --count what it sent to the device: in a VM or under\n"
    "cubar-run.\n"
    "CUDA graphs are off if GGML_CUDA_DISABLE_GRAPHS is in the environment.\n";

[[noreturn]] void refuse(std::string_view what) {
    std::fprintf(stderr, "generate: %.*s\n%s", static_cast<int>(what.size()), what.data(), usage);
    std::exit(2);
}

template <typename Number>
Number number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        refuse("not a number: " + std::string(text));
    }
    return value;
}

/// Whether it is `yes`; anything but `yes` and `no` is refused.
bool either(std::string_view text, std::string_view yes, std::string_view no) {
    if (text != yes && text != no) refuse("not known: " + std::string(text));
    return text == yes;
}

std::vector<int32_t> list(std::string_view text) {
    std::vector<int32_t> all;
    while (!text.empty()) {
        const size_t end = text.find(',');
        all.push_back(number<int32_t>(text.substr(0, end)));
        text = end == text.npos ? "" : text.substr(end + 1);
    }
    return all;
}

void set(Options& options, std::string_view name, std::string_view value) {
    if (name == "--libraries")
        options.libraries = value;
    else if (name == "--model")
        options.model = value;
    else if (name == "--logits")
        options.logits = value;
    else if (name == "--device")
        options.cuda = either(value, "cuda", "cpu");
    else if (name == "--flash")
        options.flash = either(value, "on", "off");
    else if (name == "--kv")
        options.kv_q8_0 = either(value, "q8_0", "f16");
    else if (name == "--tokens")
        options.tokens = number<uint32_t>(value);
    else if (name == "--prompt-length")
        options.prompt_length = number<uint32_t>(value);
    else if (name == "--batch")
        options.batch = number<uint32_t>(value);
    else if (name == "--context")
        options.context = number<uint32_t>(value);
    else if (name == "--sequences")
        options.sequences = number<uint32_t>(value);
    else if (name == "--requests")
        options.requests = number<uint32_t>(value);
    else if (name == "--follow")
        options.follow = list(value);
    else
        refuse("unknown option " + std::string(name));
}

}  // namespace

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--text") {
            options.text = true;
        } else if (name == "--verbose") {
            options.verbose = true;
        } else if (name == "--count") {
            options.count = true;
        } else if (i + 1 < argc) {
            set(options, name, argv[++i]);
        } else {
            refuse("no value for " + std::string(name));
        }
    }
    if (options.libraries.empty() || options.model.empty()) refuse("no --libraries or no --model");
    if (options.tokens == 0 || options.batch == 0 || options.sequences == 0) refuse("a count is 0");
    if (options.prompt_length == 0) refuse("an empty prompt has no next token");
    return options;
}

}  // namespace llama_test
