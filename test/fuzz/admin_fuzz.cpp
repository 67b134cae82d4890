// SPDX-License-Identifier: Apache-2.0
// What whoever may connect to cubard's control socket can send: a line that should be a request.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/common/admin_request.h"

using namespace cubar::host;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto request = decode_admin_request({reinterpret_cast<const char*>(data), size});
    if (!request) {
        return 0;
    }
    // What was understood is understood again as the same, as cubarctl writes it.
    const std::string line = to_line(*request);
    const auto again = decode_admin_request(std::string_view(line).substr(0, line.size() - 1));
    const bool fits = line.size() <= kMaxAdminRequest;
    if (fits && (!again || again->command != request->command || again->vm != request->vm ||
                 again->session != request->session)) {
        std::abort();
    }
    return 0;
}
