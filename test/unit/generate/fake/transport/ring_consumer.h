// SPDX-License-Identifier: Apache-2.0
// A record that the toy's guest makes without a ring.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cubar/record.h"

namespace cubar::transport {

class Record {
public:
    Record(const RecordHeader& header, std::vector<std::byte> body)
        : header_(header), body_(std::move(body)) {}
    const RecordHeader& header() const { return header_; }
    std::span<const std::byte> body() const { return body_; }

private:
    RecordHeader header_;
    std::vector<std::byte> body_;
};

}  // namespace cubar::transport
