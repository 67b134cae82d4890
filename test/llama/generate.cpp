// SPDX-License-Identifier: Apache-2.0
// Generates text greedily with a prebuilt llama.cpp, whose CUDA backend it loads by name, and
// prints every token as it comes. With --logits it keeps what the choice was made from.
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "options.h"
#include "test/cost/own_channel.h"

namespace {

using Clock = std::chrono::steady_clock;
using llama_test::Options;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "generate: %s\n", message.c_str());
    std::exit(1);
}

std::string_view layers_offloaded(std::string_view line) {
    const size_t at = line.find("offloaded ");
    return at == line.npos || line.find(" layers to GPU") == line.npos ? "" : line.substr(at);
}

/// llama.cpp's own log goes to stderr; the line that says how much was offloaded to stdout as well.
void log(ggml_log_level level, const char* text, void* options) {
    const std::string_view offloaded = layers_offloaded(text);
    if (!offloaded.empty()) {
        std::printf("%.*s", static_cast<int>(offloaded.size()), offloaded.data());
        std::fflush(stdout);
    }
    const bool verbose = static_cast<const Options*>(options)->verbose;
    if (verbose || level >= GGML_LOG_LEVEL_WARN) std::fputs(text, stderr);
}

/// Loads the CPU backend, and CUDA's if wanted. Returns the devices for the model, or none for the
/// CPU alone.
std::vector<ggml_backend_dev_t> load_backends(const Options& options) {
    ggml_backend_load_all_from_path((options.libraries + "/cpu").c_str());
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
        fail("no CPU backend in " + options.libraries + "/cpu: run scripts/llama.py");
    }
    // A list without a device: otherwise llama.cpp would take every GPU that it finds.
    if (!options.cuda) return {nullptr};
    const auto begin = Clock::now();
    const std::string path = options.libraries + "/libggml-cuda.so";
    ggml_backend_reg_t cuda = ggml_backend_load(path.c_str());
    if (cuda == nullptr) fail("cannot load " + path + ": see its messages above");
    if (ggml_backend_reg_dev_count(cuda) == 0) fail("llama.cpp found no CUDA device");
    ggml_backend_dev_t device = ggml_backend_reg_dev_get(cuda, 0);
    size_t free = 0;
    size_t total = 0;
    ggml_backend_dev_memory(device, &free, &total);
    std::printf("device %s: %s, %zu of %zu bytes free\n", ggml_backend_dev_name(device),
                ggml_backend_dev_description(device), free, total);
    std::printf("seconds backend %.3f\n", seconds_since(begin));
    std::fflush(stdout);
    return {device, nullptr};
}

class Generator {
public:
    Generator(const Options& options, llama_model* model)
        : options_(options), model_(model), vocabulary_(llama_model_get_vocab(model)) {
        llama_context_params params = llama_context_default_params();
        params.n_ctx = options.context * options.sequences;
        params.n_batch = std::max(options.batch, options.sequences);
        params.n_ubatch = options.batch;
        params.n_seq_max = options.sequences;
        params.n_threads = params.n_threads_batch = 1;
        params.flash_attn_type =
            options.flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        params.type_k = params.type_v = options.kv_q8_0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
        context_.reset(llama_init_from_model(model, params));
        if (context_ == nullptr) fail("llama.cpp made no context: see its messages above");
        tokens_ = static_cast<size_t>(llama_vocab_n_tokens(vocabulary_));
        batch_ = llama_batch_init(static_cast<int32_t>(params.n_batch), 0, 1);
        if (!options.logits.empty()) {
            logits_.reset(std::fopen(options.logits.c_str(), "wb"));
            if (logits_ == nullptr) fail("cannot write " + options.logits);
        }
    }

    ~Generator() {
        llama_batch_free(batch_);
        context_.reset();
        llama_model_free(model_);
    }

    Generator(const Generator&) = delete;
    Generator& operator=(const Generator&) = delete;

    /// One request: all sequences in one batch, from an empty cache.
    void answer(uint32_t request) {
        llama_memory_clear(llama_get_memory(context_.get()), true);
        const auto begin = Clock::now();
        std::vector<Sequence> sequences;
        for (uint32_t s = 0; s < options_.sequences; ++s) {
            sequences.push_back(read_prompt(static_cast<llama_seq_id>(s), prompt(request + s)));
        }
        Clock::time_point first{};
        for (uint32_t position = 0; position < options_.tokens; ++position) {
            batch_.n_tokens = 0;
            for (Sequence& sequence : sequences) choose(request, position, sequence);
            if (position == 0) first = Clock::now();
            std::fflush(stdout);
            if (position + 1 == options_.tokens) break;
            if (options_.count) count(request, position);
            decode();
            for (size_t s = 0; s < sequences.size(); ++s) keep(sequences[s], s);
        }
        std::printf("seconds first %.3f\nseconds later %.3f\n",
                    std::chrono::duration<double>(first - begin).count(), seconds_since(first));
        std::fflush(stdout);
    }

private:
    struct Sequence {
        llama_seq_id id;
        llama_pos next;
        std::vector<float> logits;
    };

    struct Close {
        void operator()(llama_context* context) const { llama_free(context); }
        void operator()(FILE* file) const { std::fclose(file); }
    };

    const Options& options_;
    llama_model* model_;
    const llama_vocab* vocabulary_;
    std::unique_ptr<llama_context, Close> context_;
    std::unique_ptr<FILE, Close> logits_;
    llama_batch batch_{};
    size_t tokens_ = 0;
    size_t followed_ = 0;
    std::optional<cubar::cost::OwnChannel> channel_;

    /// Begins elsewhere in the same text for each sequence and request.
    std::vector<llama_token> prompt(uint32_t offset) const {
        std::string text;
        while (text.size() < options_.prompt_length + offset * 7) {
            text += "the quick brown fox jumps over the lazy dog and ";
        }
        text = text.substr(offset * 7);
        std::vector<llama_token> tokens(text.size() + 8);
        const int count =
            llama_tokenize(vocabulary_, text.data(), static_cast<int32_t>(text.size()),
                           tokens.data(), static_cast<int32_t>(tokens.size()), true, false);
        if (count < static_cast<int>(options_.prompt_length)) fail("the prompt has no such length");
        tokens.resize(options_.prompt_length);
        return tokens;
    }

    void add(llama_token token, Sequence& sequence, bool output) {
        const int32_t i = batch_.n_tokens++;
        batch_.token[i] = token;
        batch_.pos[i] = sequence.next++;
        batch_.n_seq_id[i] = 1;
        batch_.seq_id[i][0] = sequence.id;
        batch_.logits[i] = output;
    }

    void decode() {
        const int result = llama_decode(context_.get(), batch_);
        if (result != 0) fail("llama_decode returned " + std::to_string(result));
    }

    void keep(Sequence& sequence, size_t index) {
        const float* logits = llama_get_logits_ith(context_.get(), static_cast<int32_t>(index));
        if (logits == nullptr) fail("llama.cpp has no logits for an output that was asked for");
        sequence.logits.assign(logits, logits + tokens_);
    }

    Sequence read_prompt(llama_seq_id id, const std::vector<llama_token>& tokens) {
        Sequence sequence{id, 0, {}};
        for (size_t i = 0; i < tokens.size();) {
            batch_.n_tokens = 0;
            const size_t end = std::min(i + options_.batch, tokens.size());
            for (; i < end; ++i) add(tokens[i], sequence, i + 1 == tokens.size());
            decode();
        }
        keep(sequence, static_cast<size_t>(batch_.n_tokens) - 1);
        return sequence;
    }

    /// A token's text. A model with random weights says any byte, so one that a terminal may take
    /// amiss is a dot.
    std::string readable(llama_token token) const {
        char piece[16];
        const int size = llama_token_to_piece(vocabulary_, token, piece, sizeof piece, 0, true);
        std::string text(piece, static_cast<size_t>(std::max(size, 0)));
        if (!std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; })) return "·";
        return text;
    }

    void choose(uint32_t request, uint32_t position, Sequence& sequence) {
        const auto best = std::ranges::max_element(sequence.logits);
        const auto token = static_cast<llama_token>(best - sequence.logits.begin());
        if (!std::ranges::all_of(sequence.logits, [](float v) { return std::isfinite(v); })) {
            fail("logits are not numbers, at position " + std::to_string(position));
        }
        std::printf("token %u %d %u %d\n", request, sequence.id, position, token);
        if (options_.text) std::printf("text %s\n", readable(token).c_str());
        if (logits_ != nullptr &&
            std::fwrite(sequence.logits.data(), sizeof(float), tokens_, logits_.get()) != tokens_) {
            fail("cannot write " + options_.logits);
        }
        add(follow(token), sequence, true);
    }

    /// What was sent to the device for the token at `position`: everything since the one before.
    void count(uint32_t request, uint32_t position) try {
        if (!channel_.has_value()) {
            channel_.emplace();
            return;
        }
        const cubar::cost::Sent sent = channel_->count();
        std::printf("sent %u %u %u %u %llu copied:%llu answered:%llu", request, position,
                    sent.records, sent.round_trips, static_cast<unsigned long long>(sent.bytes),
                    static_cast<unsigned long long>(sent.copied),
                    static_cast<unsigned long long>(sent.answered));
        for (const auto& [opcode, times] : sent.opcodes) std::printf(" %#x:%u", opcode, times);
        std::printf("\n");
    } catch (const std::runtime_error& error) {
        fail(std::string("cannot count: ") + error.what());
    }

    /// With --follow, another run's choice goes on, so that every position can be compared.
    llama_token follow(llama_token own) {
        if (options_.follow.empty()) return own;
        if (followed_ == options_.follow.size()) fail("--follow has too few tokens");
        return options_.follow[followed_++];
    }
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = llama_test::parse(argc, argv);
    llama_log_set(log, const_cast<Options*>(&options));
    std::vector<ggml_backend_dev_t> devices = load_backends(options);

    const auto begin = Clock::now();
    llama_model_params params = llama_model_default_params();
    params.devices = devices.data();
    params.n_gpu_layers = options.cuda ? -1 : 0;
    llama_model* model = llama_model_load_from_file(options.model.c_str(), params);
    if (model == nullptr) fail("llama.cpp cannot load " + options.model + ": see above");
    std::printf("seconds model %.3f\n", seconds_since(begin));
    const auto made = Clock::now();
    Generator generator(options, model);
    std::printf("seconds context %.3f\n", seconds_since(made));
    std::fflush(stdout);
    for (uint32_t request = 0; request < options.requests; ++request) generator.answer(request);
    return 0;
}
