// SPDX-License-Identifier: Apache-2.0
// What asynchronous copies keep in Insn::count.
#pragma once

#include <cstdint>

namespace cubar::softgpu::exec {

/// What limits the bytes that a cp.async reads; the others become zeros.
enum CopyLimit : uint8_t {
    kCopyAll,
    kCopySize,    // op[0] says how many
    kCopyUnless,  // none where the predicate op[0] is true
};

/// Of cp.async.bulk and cp.reduce.async.bulk.
enum BulkFlags : uint8_t {
    kBulkFromShared = 1,
    kBulkToShared = 2,
    kBulkCounts = 4,  // the bytes count for an mbarrier
    kBulkToMany = 8,  // blocks of the cluster, in each at the same place
};

}  // namespace cubar::softgpu::exec
