// SPDX-License-Identifier: Apache-2.0
#include "check.h"
#include "formulas.h"
#include "layers.h"

namespace cubar::decode {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int kChooseThreads = 1024;
constexpr int kAttendWarps = 4;
constexpr int kPerLane = kMaxHeadSize / kWarp;

unsigned blocks_for(std::size_t count) {
    constexpr std::size_t kMost = 4096;
    const std::size_t wanted = (count + kThreads - 1) / kThreads;
    return static_cast<unsigned>(wanted < kMost ? wanted : kMost);
}

__device__ float warp_sum(float value) {
    for (int step = kWarp / 2; step > 0; step /= 2) {
        value += __shfl_xor_sync(0xffff'ffff, value, step);
    }
    return value;
}

__global__ void fill_kernel(__half* out, std::size_t count, Spread spread) {
    const std::size_t all = std::size_t(gridDim.x) * blockDim.x;
    for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < count; i += all) {
        out[i] = __float2half_rn(weight(spread, i));
    }
}

__global__ void embed_kernel(const Input* input, const __half* table, float* out, int hidden) {
    const __half* row = table + std::size_t(input->token) * hidden;
    for (int i = threadIdx.x; i < hidden; i += kThreads) out[i] = __half2float(row[i]);
}

__global__ void normalise_kernel(const float* in, const __half* weights, __half* out, int size) {
    __shared__ float sums[kThreads / kWarp];
    float squares = 0;
    for (int i = threadIdx.x; i < size; i += kThreads) squares += in[i] * in[i];
    squares = warp_sum(squares);
    if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = squares;
    __syncthreads();
    float all = 0;
    for (int warp = 0; warp < kThreads / kWarp; ++warp) all += sums[warp];
    const float factor = rsqrtf(all / float(size) + kNormEpsilon);
    for (int i = threadIdx.x; i < size; i += kThreads) {
        out[i] = __float2half_rn(in[i] * factor * __half2float(weights[i]));
    }
}

/// A block for each head of the queries, then of the keys, then of the values.
__global__ void rotate_kernel(const Input* input, Shape shape, float* query_key_value, __half* keys,
                              __half* values) {
    const int size = shape.head_size;
    const int head = int(blockIdx.x);
    const int position = input->position;
    float* const row = query_key_value + head * size;
    const int kv_head = head - shape.heads;
    if (kv_head >= shape.kv_heads) {
        __half* to =
            values + std::size_t(position) * shape.kv_rows() + (kv_head - shape.kv_heads) * size;
        for (int i = threadIdx.x; i < size; i += blockDim.x) to[i] = __float2half_rn(row[i]);
        return;
    }
    for (int i = threadIdx.x; i < size / 2; i += blockDim.x) {
        const float angle = rotation(position, i, size);
        const float sine = sinf(angle);
        const float cosine = cosf(angle);
        const float first = row[i] * cosine - row[i + size / 2] * sine;
        const float second = row[i] * sine + row[i + size / 2] * cosine;
        if (kv_head < 0) {
            row[i] = first;
            row[i + size / 2] = second;
        } else {
            __half* to = keys + std::size_t(position) * shape.kv_rows() + kv_head * size;
            to[i] = __float2half_rn(first);
            to[i + size / 2] = __float2half_rn(second);
        }
    }
}

/// A block for each head. Its warps share the positions out, and each keeps a softmax of its own;
/// in the end they are put together.
__global__ void attend_kernel(const Input* input, Shape shape, const float* queries,
                              const __half* keys, const __half* values, __half* out) {
    __shared__ float tops[kAttendWarps];
    __shared__ float totals[kAttendWarps];
    __shared__ float sums[kAttendWarps][kMaxHeadSize];
    const int size = shape.head_size;
    const int head = int(blockIdx.x);
    const int kv_head = head / (shape.heads / shape.kv_heads);
    const int warp = int(threadIdx.x) / kWarp;
    const int lane = int(threadIdx.x) % kWarp;
    float query[kPerLane];
    float sum[kPerLane];
    for (int i = 0; i < kPerLane; ++i) {
        const int at = lane + i * kWarp;
        query[i] = at < size ? queries[head * size + at] : 0;
        sum[i] = 0;
    }
    const float scale = rsqrtf(float(size));
    float top = -INFINITY;
    float total = 0;
    for (int position = warp; position <= input->position; position += kAttendWarps) {
        const std::size_t place = std::size_t(position) * shape.kv_rows() + kv_head * size;
        float product = 0;
        for (int i = 0; i < kPerLane; ++i) {
            const int at = lane + i * kWarp;
            if (at < size) product += query[i] * __half2float(keys[place + at]);
        }
        product = warp_sum(product) * scale;
        const float higher = fmaxf(top, product);
        const float before = expf(top - higher);
        const float now = expf(product - higher);
        top = higher;
        total = total * before + now;
        for (int i = 0; i < kPerLane; ++i) {
            const int at = lane + i * kWarp;
            if (at < size) sum[i] = sum[i] * before + now * __half2float(values[place + at]);
        }
    }
    for (int i = 0; i < kPerLane; ++i) sums[warp][lane + i * kWarp] = sum[i];
    if (lane == 0) {
        tops[warp] = top;
        totals[warp] = total;
    }
    __syncthreads();
    // The first warp has position 0, so that the highest is a number.
    float highest = tops[0];
    for (int i = 1; i < kAttendWarps; ++i) highest = fmaxf(highest, tops[i]);
    for (int at = threadIdx.x; at < size; at += kAttendWarps * kWarp) {
        float upper = 0;
        float lower = 0;
        for (int i = 0; i < kAttendWarps; ++i) {
            const float part = expf(tops[i] - highest);
            upper += part * sums[i][at];
            lower += part * totals[i];
        }
        out[head * size + at] = __float2half_rn(upper / lower);
    }
}

__global__ void gate_kernel(const float* gate_up, __half* out, int size) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= size) return;
    const float value = gate_up[i];
    out[i] = __float2half_rn(value / (1 + expf(-value)) * gate_up[size + i]);
}

__global__ void choose_kernel(const float* logits, int size, int* token) {
    __shared__ float greatest[kChooseThreads];
    __shared__ int places[kChooseThreads];
    const int thread = int(threadIdx.x);
    float best = -INFINITY;
    int place = size;
    for (int i = thread; i < size; i += kChooseThreads) {
        if (logits[i] > best) {
            best = logits[i];
            place = i;
        }
    }
    greatest[thread] = best;
    places[thread] = place;
    for (int step = kChooseThreads / 2; step > 0; step /= 2) {
        __syncthreads();
        if (thread >= step) continue;
        const int other = thread + step;
        const bool equal = greatest[other] == greatest[thread];
        if (greatest[other] > greatest[thread] || (equal && places[other] < places[thread])) {
            greatest[thread] = greatest[other];
            places[thread] = places[other];
        }
    }
    if (thread == 0) *token = places[0];
}

__device__ unsigned long long time_ns() {
    unsigned long long time;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
    return time;
}

__global__ void hold_kernel(unsigned long long nanoseconds) {
    if (nanoseconds == 0) return;
    const unsigned long long begin = time_ns();
    while (time_ns() - begin < nanoseconds) {
    }
}

}  // namespace

void fill(__half* out, std::size_t count, const Spread& spread, cudaStream_t stream) {
    fill_kernel<<<blocks_for(count), kThreads, 0, stream>>>(out, count, spread);
    CUBAR_CHECK(cudaGetLastError());
}

void embed(const Input* input, const __half* table, float* out, int hidden, cudaStream_t stream) {
    embed_kernel<<<1, kThreads, 0, stream>>>(input, table, out, hidden);
    CUBAR_CHECK(cudaGetLastError());
}

void normalise(const float* in, const __half* weights, __half* out, int size, cudaStream_t stream) {
    normalise_kernel<<<1, kThreads, 0, stream>>>(in, weights, out, size);
    CUBAR_CHECK(cudaGetLastError());
}

void rotate(const Input* input, const Shape& shape, float* query_key_value, __half* keys,
            __half* values, cudaStream_t stream) {
    const unsigned heads = unsigned(shape.heads + 2 * shape.kv_heads);
    rotate_kernel<<<heads, kWarp, 0, stream>>>(input, shape, query_key_value, keys, values);
    CUBAR_CHECK(cudaGetLastError());
}

void attend(const Input* input, const Shape& shape, const float* queries, const __half* keys,
            const __half* values, __half* out, cudaStream_t stream) {
    attend_kernel<<<unsigned(shape.heads), kAttendWarps * kWarp, 0, stream>>>(input, shape, queries,
                                                                              keys, values, out);
    CUBAR_CHECK(cudaGetLastError());
}

void gate(const float* gate_up, __half* out, int size, cudaStream_t stream) {
    gate_kernel<<<unsigned(size + kThreads - 1) / kThreads, kThreads, 0, stream>>>(gate_up, out,
                                                                                   size);
    CUBAR_CHECK(cudaGetLastError());
}

void choose(const float* logits, int size, int* token, cudaStream_t stream) {
    choose_kernel<<<1, kChooseThreads, 0, stream>>>(logits, size, token);
    CUBAR_CHECK(cudaGetLastError());
}

void hold(unsigned long long nanoseconds, cudaStream_t stream) {
    hold_kernel<<<1, 1, 0, stream>>>(nanoseconds);
    CUBAR_CHECK(cudaGetLastError());
}

}  // namespace cubar::decode
