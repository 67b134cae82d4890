// SPDX-License-Identifier: Apache-2.0
#pragma once

// A worker executes what the guest says, so it is confined in two steps. cubard does the first
// before exec: own uid, namespaces, limits, no_new_privs, parent-death signal (cubard/spawn.h). The
// worker does the second when its driver is loaded and initialised, before it reads the ring.

#include <string>
#include <vector>

#include "host/common/worker_arguments.h"

namespace cubar::host {

struct SandboxReport {
    bool confined = false;             ///< false: the system-call filter is not in force
    std::vector<std::string> missing;  ///< what this machine did not allow, in words
};

/// Confines the calling process for ever: no_new_privs, a Landlock domain for files, and a seccomp
/// filter on all threads. With softgpu no file can be opened any more; with NVIDIA's driver its
/// devices, /proc, /sys and the libraries can. execve, ptrace, sockets but AF_UNIX, mounts, keys,
/// modules, other processes' memory and new processes are refused with EPERM in any case.
///
/// In `cache`, if it is not empty, NVIDIA's driver can make and write files. Nothing can be removed
/// or renamed there, nor a file be made that has no name: all that it writes stays where cubard
/// sees it (cubard/compile_cache.h). The driver writes its cache in place, under locks.
///
/// Call it when the driver is initialised and threads that need more are done. Where `confined` is
/// false the worker must not read the ring.
SandboxReport enter_sandbox(Gpu gpu, const std::string& cache);

/// Closes what is inherited by accident: every descriptor from `first` on.
void close_descriptors_from(int first);

}  // namespace cubar::host
