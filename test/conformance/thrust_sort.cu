// SPDX-License-Identifier: Apache-2.0
// Thrust from the toolkit: sort by key, transform and reduce.
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/sort.h>
#include <thrust/transform_reduce.h>

#include <algorithm>
#include <numeric>

#include "conformance.h"

namespace {

struct Square {
    __host__ __device__ long long operator()(std::uint32_t value) const {
        return static_cast<long long>(value % 1000) * (value % 1000);
    }
};

}  // namespace

int main() {
    conformance::Random random(121);
    const std::size_t count = 3001;
    std::vector<std::uint32_t> keys(count), order(count);
    for (auto& key : keys) key = random.below(2000);
    std::iota(order.begin(), order.end(), 0u);

    thrust::device_vector<std::uint32_t> device_keys(keys.begin(), keys.end());
    thrust::device_vector<std::uint32_t> device_order(order.begin(), order.end());
    thrust::stable_sort_by_key(thrust::device, device_keys.begin(), device_keys.end(),
                               device_order.begin());
    const long long sum =
        thrust::transform_reduce(thrust::device, device_keys.begin(), device_keys.end(), Square(),
                                 0ll, thrust::plus<long long>());

    std::stable_sort(order.begin(), order.end(),
                     [&keys](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
    std::vector<std::uint32_t> result(count);
    thrust::copy(device_order.begin(), device_order.end(), result.begin());
    CHECK(result == order);
    long long expected = 0;
    for (const std::uint32_t key : keys) expected += Square()(key);
    CHECK(sum == expected);
    conformance::report("order", result);
    std::printf("sum of squares %lld\n", sum);
    return 0;
}
