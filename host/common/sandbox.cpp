// SPDX-License-Identifier: Apache-2.0
#include "host/common/sandbox.h"

#include <fcntl.h>
#include <glob.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "transport/descriptor.h"

namespace cubar::host {
namespace {

// --- files ---------------------------------------------------------------------------------------

constexpr std::uint64_t kReadFiles =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kUseCache = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                                    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                    LANDLOCK_ACCESS_FS_MAKE_DIR;
constexpr std::uint64_t kUseDevice = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
/// Every right of Landlock's first version: later ones are refinements.
constexpr std::uint64_t kAllFileRights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

void allow_path(int ruleset, const char* path, std::uint64_t rights) {
    const transport::Descriptor place(::open(path, O_PATH | O_CLOEXEC));
    if (!place) {
        return;  // what is not there needs no rule
    }
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights;
    rule.parent_fd = place.get();
    if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 &&
        errno == EINVAL) {
        // A file takes no rights that only directories have.
        rule.allowed_access &= ~std::uint64_t{LANDLOCK_ACCESS_FS_READ_DIR};
        ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
}

/// What NVIDIA's driver opens after its initialisation: its devices, and libraries such as the JIT
/// compiler.
void allow_nvidia_files(int ruleset) {
    for (const char* path :
         {"/usr", "/lib", "/lib64", "/opt", "/etc/ld.so.cache", "/proc", "/sys"}) {
        allow_path(ruleset, path, kReadFiles);
    }
    glob_t found{};
    if (::glob("/dev/nvidia*", 0, nullptr, &found) == 0) {
        for (const char* path : std::span(found.gl_pathv, found.gl_pathc)) {
            allow_path(ruleset, path, kUseDevice);
        }
    }
    ::globfree(&found);
    for (const char* path : {"/dev/null", "/dev/zero", "/dev/urandom"}) {
        allow_path(ruleset, path, kUseDevice);
    }
}

bool confine_files(Gpu gpu, const std::string& cache) {
    landlock_ruleset_attr handled{};
    handled.handled_access_fs = kAllFileRights;
    const transport::Descriptor ruleset(static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0)));
    if (!ruleset) {
        return false;
    }
    if (gpu == Gpu::kNvidia) {
        allow_nvidia_files(ruleset.get());
        if (!cache.empty()) {
            allow_path(ruleset.get(), cache.c_str(), kUseCache);
        }
    }
    return ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0;
}

// --- system calls --------------------------------------------------------------------------------

/// What a program needs that computes, waits and talks through descriptors that it already has.
constexpr int kEveryWorker[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(msync),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(brk),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min),
    SCMP_SYS(getcpu),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getppid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),
    SCMP_SYS(getrandom),
    SCMP_SYS(membarrier),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(times),
};

/// What NVIDIA's driver needs besides. Which files is Landlock's and the file modes' business.
constexpr int kNvidiaDriver[] = {
    SCMP_SYS(ioctl),         SCMP_SYS(stat),
    SCMP_SYS(lstat),         SCMP_SYS(newfstatat),
    SCMP_SYS(statx),         SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),       SCMP_SYS(access),
    SCMP_SYS(faccessat),     SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),      SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),    SCMP_SYS(getcwd),
    SCMP_SYS(mmap),          SCMP_SYS(mprotect),
    SCMP_SYS(mbind),         SCMP_SYS(get_mempolicy),
    SCMP_SYS(set_mempolicy), SCMP_SYS(sched_setscheduler),
    SCMP_SYS(getpriority),   SCMP_SYS(setpriority),
    SCMP_SYS(socketpair),    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),    SCMP_SYS(getsockname),
    SCMP_SYS(bind),          SCMP_SYS(listen),
    SCMP_SYS(accept4),       SCMP_SYS(connect),
    SCMP_SYS(getresuid),     SCMP_SYS(getresgid),
    SCMP_SYS(capget),        SCMP_SYS(pipe),
    SCMP_SYS(dup2),          SCMP_SYS(dup3),
    SCMP_SYS(timer_create),  SCMP_SYS(timer_settime),
    SCMP_SYS(timer_delete),
};

/// What its compile cache needs besides.
constexpr int kCompileCache[] = {
    SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
};

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

bool allow(scmp_filter_ctx filter, std::span<const int> calls) {
    bool good = true;
    for (const int call : calls) {
        good = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0 && good;
    }
    return good;
}

/// A condition on an argument of a call. (libseccomp's macros for it are C.)
scmp_arg_cmp argument(unsigned number, scmp_compare how, std::uint64_t value,
                      std::uint64_t other = 0) {
    return {number, how, value, other};
}

bool allow_when(scmp_filter_ctx filter, int call, scmp_arg_cmp condition) {
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition) == 0;
}

bool allow_nvidia_calls(scmp_filter_ctx filter, bool cache) {
    bool good = allow(filter, kNvidiaDriver) && (!cache || allow(filter, kCompileCache));
    // Not O_TMPFILE: no directory would have the file, and nobody see what it takes.
    for (const auto& [call, flags] : {std::pair{SCMP_SYS(open), 1U}, {SCMP_SYS(openat), 2U}}) {
        good = allow_when(filter, call,
                          argument(flags, SCMP_CMP_MASKED_EQ, O_TMPFILE & ~O_DIRECTORY, 0)) &&
               good;
    }
    // Limits of its own process: the workers of a VM are one user's.
    return allow_when(filter, SCMP_SYS(prlimit64), argument(0, SCMP_CMP_EQ, 0)) &&
           allow_when(filter, SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, AF_UNIX)) && good;
}

bool fill(scmp_filter_ctx filter, Gpu gpu, bool cache) {
    bool good = allow(filter, kEveryWorker);
    // Threads, but no processes. clone3 hides its flags behind a pointer: without it glibc falls
    // back to clone.
    good = allow_when(filter, SCMP_SYS(clone),
                      argument(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 && good;
    // Signals to its own threads, such as abort's; the workers of a VM are one user's.
    good = allow_when(filter, SCMP_SYS(tgkill),
                      argument(0, SCMP_CMP_EQ, static_cast<std::uint64_t>(::getpid()))) &&
           good;
    for (const int what : {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_SET_TIMERSLACK}) {
        good = allow_when(filter, SCMP_SYS(prctl),
                          argument(0, SCMP_CMP_EQ, static_cast<unsigned>(what))) &&
               good;
    }
    if (gpu == Gpu::kNvidia) {
        return allow_nvidia_calls(filter, cache) && good;
    }
    // softgpu interprets: nothing in its process needs to become executable any more.
    good =
        allow_when(filter, SCMP_SYS(mmap), argument(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) && good;
    good = allow_when(filter, SCMP_SYS(mprotect), argument(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) &&
           good;
    // prlimit64 to read (no new limit), as pthread_getattr_np does.
    return allow_when(filter, SCMP_SYS(prlimit64), argument(2, SCMP_CMP_EQ, 0)) && good;
}

bool confine_calls(Gpu gpu, bool cache) {
    const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)), &seccomp_release);
    return filter != nullptr && fill(filter.get(), gpu, cache) &&
           seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
           // Refusals show in the kernel's audit log, where there is one.
           seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1) == 0 &&
           seccomp_load(filter.get()) == 0;
}

}  // namespace

SandboxReport enter_sandbox(Gpu gpu, const std::string& cache) {
    SandboxReport report;
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        report.missing.emplace_back("no_new_privs");
        return report;
    }
    if (!confine_files(gpu, cache)) {
        report.missing.emplace_back("Landlock");
    }
    report.confined = confine_calls(gpu, !cache.empty());
    if (!report.confined) {
        report.missing.emplace_back("seccomp");
    }
    return report;
}

void close_descriptors_from(int first) {
    ::syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0);
}

}  // namespace cubar::host
