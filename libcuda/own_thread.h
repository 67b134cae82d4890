// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cubar::guest {

/// Starts a detached thread of this library in the application's process. It takes no signals,
/// which are the application's. `name` has at most 15 characters. False if the process may have no
/// more.
bool start_own_thread(const char* name, void* (*body)(void*), void* argument);

}  // namespace cubar::guest
