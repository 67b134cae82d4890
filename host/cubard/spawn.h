// SPDX-License-Identifier: Apache-2.0
#pragma once

// The first half of a worker's confinement: what is set before it is executed. The second half is
// host/common/sandbox.h.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "host/common/worker_arguments.h"
#include "transport/descriptor.h"

namespace cubar::host {

/// What this machine lets cubard do for a worker; found out once, by trying.
struct Isolation {
    std::uint64_t namespaces = 0;      ///< CLONE_NEW…
    bool own_uid = false;              ///< each VM's workers have a user id of their own
    std::vector<std::string> missing;  ///< in words, for the log
};

struct WorkerProgram {
    std::string path;  ///< of cubar-worker
    Gpu gpu = Gpu::kSoft;
    std::string driver;
    bool fences = true;  ///< as in WorkerArguments
    std::uint32_t first_uid = 0;
    gid_t group = 0;  ///< 0: the worker's own
};

/// Tries out what is possible for this program as this user.
Isolation find_isolation(const WorkerProgram& program);

struct SpawnRequest {
    std::vector<std::string> devices;  ///< for CUDA_VISIBLE_DEVICES; empty: all
    int priority = 0;
    std::uint32_t uid_slot = 0;                ///< added to WorkerProgram::first_uid
    std::vector<std::uint64_t> context_bytes;  ///< as in WorkerArguments
    std::string cache;                         ///< as in WorkerArguments
    std::uint64_t cache_bytes = 0;
    bool probe = false;
    bool telemetry = false;
    int descriptor = -1;  ///< control socket, or the pipe that a probe writes to
    int output = -1;      ///< where its stdout and stderr go
};

struct Child {
    pid_t pid = -1;
    transport::Descriptor pidfd;
};

/// Starts a worker process. It dies when cubard does, by the kernel's hand until it listens to its
/// control socket (ControlClient), then by its own. Throws std::system_error where no process
/// could be made; that the program cannot be executed shows in its exit (127) and on `output`.
Child spawn_worker(const WorkerProgram& program, const Isolation& isolation,
                   const SpawnRequest& request);

/// Reaps a child that ended. "exit code 3", "signal 9"; empty while it runs.
std::string reap(const Child& child);

}  // namespace cubar::host
