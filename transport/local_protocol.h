// SPDX-License-Identifier: Apache-2.0
// What cubard says to a process on the same machine that connects to the local socket of a VM.
//
// The socket is SOCK_SEQPACKET. cubard sends exactly one message upon accept(): a LocalHello, with
// descriptors attached (SCM_RIGHTS): the memory file (BAR2), then an eventfd for each doorbell:
// cubard's own, then channel 0's, channel 1's, … The client sends nothing; either side then hangs
// up.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cubar/layout.h"

namespace cubar::transport {

inline constexpr std::uint32_t kLocalMagic = 0x4c42'5543;  // "CUBL" in memory order
inline constexpr std::uint32_t kLocalVersion = 1;
inline constexpr std::size_t kLocalMaxDescriptors = 2 + kMaxChannels;
inline constexpr std::uint32_t kLocalHelloMs = 1000;  ///< how long a client waits for the greeting

struct LocalHello {
    std::uint32_t magic;             ///< kLocalMagic
    std::uint32_t version;           ///< kLocalVersion
    std::uint32_t descriptor_count;  ///< attached to this message: 2 + channel count
    std::uint32_t reserved;          ///< 0
};
static_assert(sizeof(LocalHello) == 16);

}  // namespace cubar::transport
