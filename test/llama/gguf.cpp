// SPDX-License-Identifier: Apache-2.0
#include "gguf.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace llama {

namespace {

constexpr size_t alignment = 32;

/// GGUF's numbers for the types of values.
enum : uint32_t { gguf_u32 = 4, gguf_i32 = 5, gguf_f32 = 6, gguf_string = 8, gguf_array = 9 };

template <typename T>
void put(std::vector<uint8_t>& out, T value) {
    const size_t at = out.size();
    out.resize(at + sizeof value);
    std::memcpy(&out[at], &value, sizeof value);
}

void put_string(std::vector<uint8_t>& out, std::string_view value) {
    put<uint64_t>(out, value.size());
    out.insert(out.end(), value.begin(), value.end());
}

size_t aligned(size_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

void Gguf::key(std::string_view name, uint32_t type) {
    put_string(pairs_, name);
    put(pairs_, type);
    ++pair_count_;
}

void Gguf::number(std::string_view name, uint32_t value) {
    key(name, gguf_u32);
    put(pairs_, value);
}

void Gguf::real(std::string_view name, float value) {
    key(name, gguf_f32);
    put(pairs_, value);
}

void Gguf::text(std::string_view name, std::string_view value) {
    key(name, gguf_string);
    put_string(pairs_, value);
}

void Gguf::texts(std::string_view name, const std::vector<std::string>& values) {
    key(name, gguf_array);
    put<uint32_t>(pairs_, gguf_string);
    put<uint64_t>(pairs_, values.size());
    for (const std::string& value : values) put_string(pairs_, value);
}

void Gguf::reals(std::string_view name, const std::vector<float>& values) {
    key(name, gguf_array);
    put<uint32_t>(pairs_, gguf_f32);
    put<uint64_t>(pairs_, values.size());
    for (const float value : values) put(pairs_, value);
}

void Gguf::numbers(std::string_view name, const std::vector<int32_t>& values) {
    key(name, gguf_array);
    put<uint32_t>(pairs_, gguf_i32);
    put<uint64_t>(pairs_, values.size());
    for (const int32_t value : values) put(pairs_, value);
}

void Gguf::tensor(std::string_view name, Type type, size_t columns, size_t rows,
                  std::function<std::vector<float>()> values) {
    tensors_.push_back({std::string(name), type, columns, rows, std::move(values)});
}

bool Gguf::write(const std::string& path) const {
    std::vector<uint8_t> head;
    head.insert(head.end(), {'G', 'G', 'U', 'F'});
    put<uint32_t>(head, 3);
    put<uint64_t>(head, tensors_.size());
    put<uint64_t>(head, pair_count_);
    head.insert(head.end(), pairs_.begin(), pairs_.end());
    uint64_t offset = 0;
    for (const Tensor& t : tensors_) {
        put_string(head, t.name);
        put<uint32_t>(head, t.rows == 1 ? 1 : 2);
        put<uint64_t>(head, t.columns);
        if (t.rows != 1) put<uint64_t>(head, t.rows);
        put(head, static_cast<uint32_t>(t.type));
        put(head, offset);
        offset += aligned(stored_bytes(t.type, t.columns * t.rows));
    }
    head.resize(aligned(head.size()));

    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    if (file == nullptr) return false;
    if (std::fwrite(head.data(), 1, head.size(), file.get()) != head.size()) return false;
    std::vector<uint8_t> stored;
    for (const Tensor& t : tensors_) {
        stored.clear();
        quantise(t.type, t.values(), stored);
        stored.resize(aligned(stored.size()));
        if (std::fwrite(stored.data(), 1, stored.size(), file.get()) != stored.size()) return false;
    }
    return std::fflush(file.get()) == 0;
}

}  // namespace llama
