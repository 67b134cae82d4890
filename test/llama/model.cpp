// SPDX-License-Identifier: Apache-2.0
// Makes a model of llama's architecture with random weights, for tests: the same bytes every time.
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "gguf.h"

namespace {

using llama::Type;

struct Shape {
    std::string_view name;
    uint32_t layers;
    uint32_t embedding;
    uint32_t feed_forward;
    uint32_t heads;
    uint32_t kv_heads;

    uint32_t head() const { return embedding / heads; }
};

/// Rows in multiples of 256, for the K-quants; heads of 64 and of 128 values, for flash attention.
constexpr std::array shapes = {
    Shape{"small", 2, 256, 512, 4, 2},
    Shape{"medium", 3, 512, 1536, 4, 2},
};

/// Which tensors have which type, as llama.cpp's own quantiser chooses.
struct Mixture {
    std::string_view name;
    uint32_t file_type;
    Type usual;
    Type output;
    /// attn_v and ffn_down of every second layer.
    Type precise;
};

constexpr std::array mixtures = {
    Mixture{"F16", 1, Type::F16, Type::F16, Type::F16},
    Mixture{"Q4_0", 2, Type::Q4_0, Type::Q6_K, Type::Q4_0},
    Mixture{"Q8_0", 7, Type::Q8_0, Type::Q8_0, Type::Q8_0},
    Mixture{"Q4_K_M", 15, Type::Q4_K, Type::Q6_K, Type::Q6_K},
    Mixture{"Q6_K", 18, Type::Q6_K, Type::Q6_K, Type::Q6_K},
};

/// SplitMix64: the same sequence on every machine, which std::normal_distribution is not.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}

    /// Nearly normal: the sum of four uniform values, scaled to a variance of 1.
    float normal() {
        const uint64_t bits = next();
        int32_t sum = 0;
        for (int i = 0; i < 64; i += 16) sum += static_cast<int32_t>(bits >> i & 0xffff);
        return static_cast<float>(sum - 2 * 0xffff) * (1.7320508F / 0x10000);
    }

private:
    uint64_t state_;

    uint64_t next() {
        state_ += 0x9e3779b97f4a7c15;
        uint64_t z = state_;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
};

/// Each tensor is seeded by its own name, so that all mixtures of a shape are the same model.
uint64_t seed(std::string_view name) {
    uint64_t hash = 0xcbf29ce484222325;
    for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    return hash;
}

class Model {
public:
    Model(const Shape& shape, const Mixture& mixture) : shape_(shape), mixture_(mixture) {}

    bool write(const std::string& path) {
        describe();
        vocabulary();
        tensors();
        return file_.write(path);
    }

private:
    const Shape& shape_;
    const Mixture& mixture_;
    llama::Gguf file_;
    uint32_t tokens_ = 0;

    void describe() {
        file_.text("general.architecture", "llama");
        file_.text("general.name", "cubar's random " + std::string(shape_.name));
        file_.number("general.file_type", mixture_.file_type);
        file_.number("llama.block_count", shape_.layers);
        file_.number("llama.context_length", 4096);
        file_.number("llama.embedding_length", shape_.embedding);
        file_.number("llama.feed_forward_length", shape_.feed_forward);
        file_.number("llama.attention.head_count", shape_.heads);
        file_.number("llama.attention.head_count_kv", shape_.kv_heads);
        file_.real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
        file_.number("llama.rope.dimension_count", shape_.head());
        file_.real("llama.rope.freq_base", 10000);
    }

    /// SentencePiece's: the specials, every byte, the space, a to z.
    void vocabulary() {
        enum { normal = 1, unknown = 2, control = 3, byte = 6 };
        std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
        std::vector<int32_t> types = {unknown, control, control};
        for (int i = 0; i < 256; ++i) {
            std::array<char, 8> name{};
            std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(i));
            tokens.emplace_back(name.data());
            types.push_back(byte);
        }
        tokens.emplace_back("\xe2\x96\x81");
        types.push_back(normal);
        for (char c = 'a'; c <= 'z'; ++c) {
            tokens.emplace_back(1, c);
            types.push_back(normal);
        }
        tokens_ = static_cast<uint32_t>(tokens.size());
        file_.number("llama.vocab_size", tokens_);
        file_.text("tokenizer.ggml.model", "llama");
        file_.text("tokenizer.ggml.pre", "default");
        file_.texts("tokenizer.ggml.tokens", tokens);
        file_.reals("tokenizer.ggml.scores", std::vector<float>(tokens_, 0));
        file_.numbers("tokenizer.ggml.token_type", types);
        file_.number("tokenizer.ggml.unknown_token_id", 0);
        file_.number("tokenizer.ggml.bos_token_id", 1);
        file_.number("tokenizer.ggml.eos_token_id", 2);
        file_.text("tokenizer.chat_template",
                   "{% for message in messages %}{{ message['content'] }} {% endfor %}");
    }

    /// `gain` is how much larger than its input, by root mean square, a product with it is.
    void matrix(const std::string& name, Type type, uint32_t columns, uint32_t rows, float gain) {
        file_.tensor(name + ".weight", type, columns, rows, [=] {
            Random random(seed(name));
            const float scale = gain / std::sqrt(static_cast<float>(columns));
            std::vector<float> values(static_cast<size_t>(columns) * rows);
            for (float& value : values) value = random.normal() * scale;
            return values;
        });
    }

    void norm(const std::string& name) {
        file_.tensor(name + ".weight", Type::F32, shape_.embedding, 1, [=, this] {
            Random random(seed(name));
            std::vector<float> values(shape_.embedding);
            for (float& value : values) value = 1 + random.normal() / 10;
            return values;
        });
    }

    /// Each product has the error of its input's quantisation, and ggml's backends do that one
    /// differently: an NMSE near 1e-4 per product in Q4_0, more behind the gate, whose values
    /// spread wide. Layers add less than they are given, as in trained models, so that this does
    /// not add up.
    void tensors() {
        const uint32_t width = shape_.embedding;
        const uint32_t kv = shape_.head() * shape_.kv_heads;
        matrix("token_embd", mixture_.usual, width, tokens_, std::sqrt(static_cast<float>(width)));
        norm("output_norm");
        matrix("output", mixture_.output, width, tokens_, 2);
        for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
            const std::string blk = "blk." + std::to_string(layer) + ".";
            const Type precise = layer % 2 == 0 ? mixture_.precise : mixture_.usual;
            norm(blk + "attn_norm");
            // Scores of attention spread enough for it to choose, and not to see one token only.
            matrix(blk + "attn_q", mixture_.usual, width, width, 1.2F);
            matrix(blk + "attn_k", mixture_.usual, width, kv, 1.2F);
            matrix(blk + "attn_v", precise, width, kv, 1);
            matrix(blk + "attn_output", mixture_.usual, width, width, 0.4F);
            norm(blk + "ffn_norm");
            matrix(blk + "ffn_gate", mixture_.usual, width, shape_.feed_forward, 1);
            matrix(blk + "ffn_up", mixture_.usual, width, shape_.feed_forward, 1);
            matrix(blk + "ffn_down", precise, shape_.feed_forward, width, 0.4F);
        }
    }
};

template <typename Table>
auto find(const Table& table, std::string_view name) {
    auto it = table.begin();
    while (it != table.end() && it->name != name) ++it;
    return it;
}

template <typename Table>
std::string names(const Table& table) {
    std::string all;
    for (const auto& row : table) all += (all.empty() ? "" : "|") + std::string(row.name);
    return all;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 4) {
        const auto shape = find(shapes, argv[1]);
        const auto mixture = find(mixtures, argv[2]);
        if (shape != shapes.end() && mixture != mixtures.end()) {
            if (Model(*shape, *mixture).write(argv[3])) return 0;
            std::perror(argv[3]);
            return 1;
        }
    }
    std::fprintf(stderr, "usage: %s %s %s FILE\n", argv[0], names(shapes).c_str(),
                 names(mixtures).c_str());
    return 2;
}
