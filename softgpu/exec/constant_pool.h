// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "softgpu/exec/warp.h"

namespace cubar::softgpu::exec {

/// The constants of a function, each spread over 32 lanes. The first are the ones of kAlways.
class ConstantPool {
public:
    ConstantPool() : bytes_(64, char(0xff)) {}

    Slot add(uint64_t value, unsigned bits) {
        if (bits == 1) return add_bytes(value != 0 ? ~uint64_t{0} : 0, 1, 4, 1);
        if (bits == 128) return add_bytes(value, bits, 16, kLanes);
        return add_bytes(value, bits, bits / 8, kLanes);
    }

    [[nodiscard]] const std::vector<char>& bytes() const { return bytes_; }

private:
    Slot add_bytes(uint64_t value, unsigned bits, unsigned bytes, unsigned copies) {
        const auto known = slots_.find({value, bits});
        if (known != slots_.end()) return known->second;
        const size_t at = (bytes_.size() + 63) / 64 * 64;
        bytes_.resize(at + size_t{bytes} * copies, 0);
        for (unsigned copy = 0; copy < copies; ++copy) {
            std::memcpy(&bytes_[at + size_t{copy} * bytes], &value, std::min(bytes, 8u));
        }
        return slots_[{value, bits}] = Slot(at) | 1;
    }

    std::vector<char> bytes_;
    std::map<std::pair<uint64_t, unsigned>, Slot> slots_;
};

}  // namespace cubar::softgpu::exec
