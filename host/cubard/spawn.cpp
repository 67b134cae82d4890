// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "host/common/sandbox.h"

namespace cubar::host {
namespace {

constexpr int kWorkerDescriptor = 3;

struct Namespace {
    std::uint64_t flag;
    const char* name;
};
constexpr Namespace kNamespaces[] = {
    {CLONE_NEWNS, "mount namespace"},    {CLONE_NEWPID, "pid namespace"},
    {CLONE_NEWNET, "network namespace"}, {CLONE_NEWIPC, "ipc namespace"},
    {CLONE_NEWUTS, "uts namespace"},
};

/// fork() with namespaces and a pidfd. 0 in the child.
pid_t clone_process(std::uint64_t namespaces, int& pidfd) {
    // Not clone3: where a service's namespaces are restricted systemd refuses it, since a filter
    // cannot see its flags.
    const std::uint64_t flags = CLONE_PIDFD | SIGCHLD | namespaces;
    return static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, &pidfd, nullptr, nullptr));
}

void write_file(const char* path, const std::string& text) {
    const transport::Descriptor file(::open(path, O_WRONLY | O_CLOEXEC));
    if (file && ::write(file.get(), text.data(), text.size()) < 0) {
        ::_exit(126);
    }
}

/// In a new user namespace: this user stays who it is.
void map_own_user(uid_t uid, gid_t gid) {
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", std::to_string(uid) + " " + std::to_string(uid) + " 1");
    write_file("/proc/self/gid_map", std::to_string(gid) + " " + std::to_string(gid) + " 1");
}

bool become(uid_t uid, gid_t group) {
    const gid_t gid = group != 0 ? group : uid;
    return ::setgroups(0, nullptr) == 0 && ::setresgid(gid, gid, gid) == 0 &&
           ::setresuid(uid, uid, uid) == 0;
}

/// Runs `body` in a child with these namespaces; true if it returned true.
bool try_in_child(std::uint64_t namespaces, const std::function<bool()>& body) {
    int pidfd = -1;
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    const pid_t pid = clone_process(namespaces, pidfd);
    if (pid == 0) {
        if ((namespaces & CLONE_NEWUSER) != 0) {
            map_own_user(uid, gid);
        }
        ::_exit(body() ? 0 : 1);
    }
    if (pid < 0) {
        return false;
    }
    const transport::Descriptor owner(pidfd);
    int status = 0;
    return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

constexpr unsigned long kBare = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/// Shows `directory` at the path that it has, below the empty one that now covers it.
void show_below(const std::string& cover, int directory, const std::string& path) {
    ::umask(022);
    for (auto slash = path.find('/', cover.size() + 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        ::mkdir(path.substr(0, slash).c_str(), 0755);
    }
    ::mkdir(path.c_str(), 0755);
    const std::string shown = "/proc/self/fd/" + std::to_string(directory);
    if (::mount(shown.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0) {
        ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | kBare, nullptr);
    }
    ::mount(nullptr, cover.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kBare, nullptr);
}

/// Covers with an empty directory what a worker has no business in, unless its program or its
/// driver lie there; of its own `cache` it sees that alone. Failures leave what is as it is:
/// Landlock and file modes stand behind it.
void hide_directories(const WorkerProgram& program, const std::string& cache) {
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    const transport::Descriptor shown(
        cache.empty() ? -1 : ::open(cache.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    for (const std::string place :
         {"/home", "/root", "/tmp", "/run", "/var", "/srv", "/mnt", "/media"}) {
        const std::string prefix = place + "/";
        if (program.path.starts_with(prefix) || program.driver.starts_with(prefix)) {
            continue;
        }
        const bool shows = shown && cache.starts_with(prefix);
        const int mounted = ::mount("none", place.c_str(), "tmpfs", kBare | (shows ? 0 : MS_RDONLY),
                                    "size=4k,mode=0555");
        if (mounted == 0 && shows) {
            show_below(place, shown.get(), cache);
        }
    }
}

void limit(int resource, rlim_t value) {
    const rlimit both{value, value};
    ::setrlimit(static_cast<__rlimit_resource>(resource), &both);
}

void set_signals() {
    sigset_t none;
    ::sigemptyset(&none);
    for (int number = 1; number < NSIG; ++number) {
        ::signal(number, SIG_DFL);
    }
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void set_descriptors(int descriptor, int output) {
    // First out of the way of the numbers that they are to have.
    const int high = ::fcntl(descriptor, F_DUPFD, 64);
    const int high_output = ::fcntl(output, F_DUPFD, 64);
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, STDIN_FILENO);
    ::dup2(high_output >= 0 ? high_output : null, STDOUT_FILENO);
    ::dup2(high_output >= 0 ? high_output : null, STDERR_FILENO);
    ::dup2(high, kWorkerDescriptor);
    close_descriptors_from(kWorkerDescriptor + 1);
}

std::vector<std::string> environment(const WorkerProgram& program, const SpawnRequest& request) {
    std::vector<std::string> result{"PATH=/usr/bin:/bin", "CUBAR_LOG=stderr"};
    if (request.cache.empty()) {
        result.emplace_back("CUDA_CACHE_DISABLE=1");
    } else {
        result.push_back("CUDA_CACHE_PATH=" + request.cache);
        result.push_back("CUDA_CACHE_MAXSIZE=" + std::to_string(request.cache_bytes));
    }
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (text.starts_with("CUBAR_SOFTGPU_") || text.starts_with("CUBAR_LOG_LEVEL=")) {
            result.emplace_back(text);
        }
    }
    // A driver that was named by its path loads its other libraries, the compiler above all, by
    // name.
    if (const auto slash = program.driver.rfind('/'); slash != std::string::npos) {
        result.push_back("LD_LIBRARY_PATH=" + program.driver.substr(0, slash));
    }
    if (program.gpu == Gpu::kNull) {
        result.emplace_back("CUBAR_SOFTGPU_NULL=1");
    }
    if (!request.devices.empty()) {
        std::string list;
        for (const std::string& device : request.devices) {
            list += (list.empty() ? "" : ",") + device;
        }
        result.push_back("CUDA_VISIBLE_DEVICES=" + list);
    }
    return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& text : strings) {
        result.push_back(text.data());
    }
    result.push_back(nullptr);
    return result;
}

/// The child's way from clone to exec.
[[noreturn]] void become_worker(const WorkerProgram& program, const Isolation& isolation,
                                const SpawnRequest& request, uid_t old_uid, gid_t old_gid,
                                char* const* arguments, char* const* variables) {
    if ((isolation.namespaces & CLONE_NEWUSER) != 0) {
        map_own_user(old_uid, old_gid);
    }
    if ((isolation.namespaces & CLONE_NEWNS) != 0) {
        hide_directories(program, request.cache);
    }
    set_signals();
    set_descriptors(request.descriptor, request.output);
    if (request.priority != 0) {
        ::setpriority(PRIO_PROCESS, 0, request.priority);
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 1024);
    ::umask(077);
    if (::chdir("/") != 0 ||
        (isolation.own_uid && !become(program.first_uid + request.uid_slot, program.group))) {
        ::_exit(126);
    }
    // After the change of user, which clears the parent-death signal. It stands until the worker
    // listens to its control socket, whose end also tells of a parent that was already gone.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::execve(program.path.c_str(), arguments, variables);
    const char* reason = std::strerror(errno);
    for (const char* text : {"cannot execute ", program.path.c_str(), ": ", reason, "\n"}) {
        if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) {
            break;
        }
    }
    ::_exit(127);
}

}  // namespace

Isolation find_isolation(const WorkerProgram& program) {
    Isolation result;
    const auto nothing = [] { return true; };
    const bool root = ::geteuid() == 0;
    const std::uint64_t user =
        !root && try_in_child(CLONE_NEWUSER, nothing) ? std::uint64_t{CLONE_NEWUSER} : 0;
    result.namespaces = user;
    for (const Namespace& space : kNamespaces) {
        if (try_in_child(user | space.flag, nothing)) {
            result.namespaces |= space.flag;
        } else {
            result.missing.emplace_back(space.name);
        }
    }
    const bool driver_is_path = program.driver.find('/') != std::string::npos;
    result.own_uid = root && try_in_child(0, [&] {
                         return become(program.first_uid, program.group) &&
                                ::access(program.path.c_str(), X_OK) == 0 &&
                                (!driver_is_path || ::access(program.driver.c_str(), R_OK) == 0);
                     });
    if (!result.own_uid) {
        result.missing.emplace_back(root ? "own uid (another user cannot reach the program)"
                                         : "own uid (cubard is not root)");
    }
    return result;
}

Child spawn_worker(const WorkerProgram& program, const Isolation& isolation,
                   const SpawnRequest& request) {
    WorkerArguments options{.gpu = program.gpu,
                            .driver = program.driver,
                            .fences = program.fences,
                            .context_bytes = request.context_bytes,
                            .cache = request.cache,
                            .probe = request.probe,
                            .telemetry = request.telemetry};
    (request.probe ? options.output_fd : options.control_fd) = kWorkerDescriptor;
    std::vector<std::string> words = options.to_strings();
    words.insert(words.begin(), program.path);
    std::vector<std::string> settings = environment(program, request);
    const std::vector<char*> arguments = pointers(words);
    const std::vector<char*> variables = pointers(settings);
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    int pidfd = -1;
    const pid_t pid = clone_process(isolation.namespaces, pidfd);
    if (pid < 0) {
        throw std::system_error(errno, std::generic_category(), "clone");
    }
    if (pid == 0) {
        become_worker(program, isolation, request, uid, gid, arguments.data(), variables.data());
    }
    return {pid, transport::Descriptor(pidfd)};
}

std::string reap(const Child& child) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | WNOHANG) != 0) {
        return "an end that cubard was not told of";
    }
    if (info.si_pid == 0) {
        return {};
    }
    return (info.si_code == CLD_EXITED ? "exit code " : "signal ") + std::to_string(info.si_status);
}

}  // namespace cubar::host
