// SPDX-License-Identifier: Apache-2.0
// cubar-run: runs a CUDA program on a cubard of its own. Its output and exit code are the
// program's.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "transport/descriptor.h"

namespace {

namespace fs = std::filesystem;
using cubar::transport::Descriptor;

constexpr const char* kUsage =
    "usage: cubar-run [--gpu auto|soft|nvidia|null] [--memory SIZE] [--bar SIZE] [--channels N]\n"
    "                 [--sessions N] [--driver PATH] [--fences on|off] [--cache DIRECTORY]\n"
    "                 [--] PROGRAM [ARGS…]\n"
    "\n"
    "Runs a CUDA program on a private cubard. CUBAR_HOST_LOG names a file for cubard's log.\n";

constexpr int kOwnFailure = 125;  // as env, nice and their like
constexpr int kCannotExecute = 126;
constexpr int kNotFound = 127;

struct Options {
    std::vector<std::string> for_cubard;
    std::vector<char*> program;
};

/// Beside other programs' caches, where there are any and NVIDIA's own variable does not forbid it.
std::string usual_cache() {
    const char* disabled = std::getenv("CUDA_CACHE_DISABLE");
    const char* caches = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    fs::path directory;
    if (caches != nullptr && *caches == '/') {
        directory = caches;
    } else if (home != nullptr && *home == '/') {
        directory = fs::path(home) / ".cache";
    }
    std::error_code ignored;
    const bool forbidden = disabled != nullptr && std::string_view(disabled) == "1";
    return forbidden || directory.empty() || !fs::is_directory(directory, ignored)
               ? ""
               : directory / "cubar";
}

std::optional<Options> parse(int count, char** arguments) {
    Options options;
    int i = 1;
    for (; i < count && arguments[i][0] == '-'; ++i) {
        std::string_view word = arguments[i];
        if (word == "--") {
            ++i;
            break;
        }
        bool known = false;
        for (const std::string_view name : {"--gpu", "--memory", "--bar", "--channels",
                                            "--sessions", "--driver", "--fences", "--cache"}) {
            if (word == name && i + 1 < count) {
                options.for_cubard.emplace_back(word);
                options.for_cubard.emplace_back(arguments[++i]);
                known = true;
                break;
            }
            if (word.starts_with(name) && word.substr(name.size()).starts_with('=')) {
                options.for_cubard.emplace_back(word);
                known = true;
                break;
            }
        }
        if (!known) {
            return std::nullopt;
        }
    }
    options.program.assign(arguments + i, arguments + count);
    if (options.program.empty()) {
        return std::nullopt;
    }
    const auto names_cache = [](const std::string& word) { return word.starts_with("--cache"); };
    if (const std::string cache = usual_cache();
        !cache.empty() && std::ranges::none_of(options.for_cubard, names_cache)) {
        options.for_cubard.push_back("--cache=" + cache);
    }
    options.program.push_back(nullptr);
    return options;
}

/// Where things are installed, or lie in the build tree.
struct Places {
    fs::path cubard;
    std::string libraries;  ///< directories of the guest's libraries, as LD_LIBRARY_PATH has them

    static Places find() {
        const fs::path own = fs::read_symlink("/proc/self/exe");
        const fs::path build = own.parent_path().parent_path().parent_path();
        if (fs::exists(build / "host/cubard/cubard")) {
            return {build / "host/cubard/cubard",
                    (build / "libcuda").string() + ":" + (build / "nvml").string()};
        }
        const fs::path prefix = own.parent_path().parent_path();
        return {prefix / "sbin/cubard", prefix / "lib/cubar/guest"};
    }
};

/// A directory that only this user can enter, gone when this goes.
class RuntimeDirectory {
public:
    RuntimeDirectory() {
        const char* base = std::getenv("XDG_RUNTIME_DIR");
        std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/cubar-run-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::system_error(errno, std::generic_category(), pattern);
        }
        path_ = pattern;
    }
    RuntimeDirectory(const RuntimeDirectory&) = delete;
    RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;
    ~RuntimeDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

struct Process {
    pid_t pid = -1;
    Descriptor pidfd;

    explicit Process(pid_t child)
        : pid(child), pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0))) {}
    Process(Process&&) = default;
    void signal(int number) const {
        ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
    }
    bool ended(int limit_ms) const {
        pollfd end{pidfd.get(), POLLIN, 0};
        return ::poll(&end, 1, limit_ms) > 0;
    }
    int reap() const {
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        return status;
    }
};

/// Where cubard logs to: the file that CUBAR_HOST_LOG names, or else memory that is written until
/// cubard serves, so that there is a reason to show if it does not.
class Log {
public:
    Log() {
        const char* name = std::getenv("CUBAR_HOST_LOG");
        named_ = name != nullptr && *name != 0;
        file_ = Descriptor(named_ ? ::open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
                                  : ::memfd_create("cubar-run", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (!file_) {
            throw std::system_error(errno, std::generic_category(), named_ ? name : "memfd_create");
        }
    }

    /// In cubard's process.
    void take_over() const {
        const int null = ::open("/dev/null", O_RDWR);
        ::dup2(null, STDIN_FILENO);
        ::dup2(null, STDOUT_FILENO);
        ::dup2(file_.get(), STDERR_FILENO);
    }

    /// cubard serves: what it says from now on needs no memory.
    void forget() const {
        if (!named_) {
            ::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_WRITE);
        }
    }

    /// What is to be said where cubard does not start.
    std::string reason() const {
        if (named_) {
            return "CUBAR_HOST_LOG tells why";
        }
        char text[2048];
        const ssize_t length = ::pread(file_.get(), text, sizeof text, 0);
        std::string said(text, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
        while (said.ends_with('\n')) {
            said.pop_back();
        }
        return said.empty() ? "it does not say why" : said;
    }

private:
    bool named_ = false;
    Descriptor file_;
};

/// Where cubard says READY=1, as to systemd.
class ReadySocket {
public:
    explicit ReadySocket(std::string path)
        : path_(std::move(path)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path_.size() >= sizeof address.sun_path) {
            throw std::runtime_error(path_ + ": too long for a socket");
        }
        path_.copy(address.sun_path, path_.size());
        if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            throw std::system_error(errno, std::generic_category(), path_);
        }
    }
    const std::string& path() const { return path_; }

    /// True when cubard serves; false when it ended instead, or when `stop` (a signalfd) is ready.
    bool wait(const Process& cubard, int stop) const {
        for (;;) {
            pollfd ready[] = {
                {socket_.get(), POLLIN, 0}, {cubard.pidfd.get(), POLLIN, 0}, {stop, POLLIN, 0}};
            if (::poll(ready, 3, -1) < 0) {
                continue;
            }
            char text[256];
            const ssize_t length = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT);
            if (length > 0 &&
                std::string_view(text, static_cast<std::size_t>(length)).find("READY=1") !=
                    std::string_view::npos) {
                // Nothing is left here that would keep cubard from removing the directory, should
                // this process be killed.
                ::unlink(path_.c_str());
                return true;
            }
            if (ready[1].revents != 0 || ready[2].revents != 0) {
                return false;
            }
        }
    }

private:
    std::string path_;
    Descriptor socket_;
};

/// cubard, apart from the terminal's signals; ended when this goes.
class PrivateCubard {
public:
    PrivateCubard(const Places& places, const fs::path& directory, const Options& options,
                  const std::string& notify, const Log& log, const sigset_t& signals)
        : process_(start(places, directory, options, notify, log, signals)) {}
    PrivateCubard(const PrivateCubard&) = delete;
    PrivateCubard& operator=(const PrivateCubard&) = delete;
    ~PrivateCubard() {
        process_.signal(SIGTERM);
        if (!process_.ended(kPatienceMs)) {
            process_.signal(SIGKILL);
        }
        process_.reap();
    }
    const Process& process() const { return process_; }

private:
    static constexpr int kPatienceMs = 2000;

    static Process start(const Places& places, const fs::path& directory, const Options& options,
                         const std::string& notify, const Log& log, const sigset_t& signals) {
        std::vector<std::string> words{places.cubard, "--local", directory / "socket",
                                       "--remove-directory"};
        words.insert(words.end(), options.for_cubard.begin(), options.for_cubard.end());
        std::vector<char*> pointers;
        for (std::string& word : words) {
            pointers.push_back(word.data());
        }
        pointers.push_back(nullptr);
        const pid_t pid = ::fork();
        if (pid < 0) {
            throw std::system_error(errno, std::generic_category(), "fork");
        }
        if (pid == 0) {
            ::setsid();
            ::prctl(PR_SET_PDEATHSIG, SIGTERM);
            ::sigprocmask(SIG_SETMASK, &signals, nullptr);
            log.take_over();
            ::setenv("NOTIFY_SOCKET", notify.c_str(), 1);
            ::unsetenv("FDSTORE");
            ::unsetenv("WATCHDOG_USEC");
            ::execv(pointers.front(), pointers.data());
            std::perror(pointers.front());
            ::_exit(kNotFound);
        }
        return Process(pid);
    }

    Process process_;
};

Process start_program(const Options& options, const fs::path& socket, const std::string& libraries,
                      const sigset_t& signals) {
    const pid_t pid = ::fork();
    if (pid < 0) {
        throw std::system_error(errno, std::generic_category(), "fork");
    }
    if (pid == 0) {
        ::sigprocmask(SIG_SETMASK, &signals, nullptr);
        const char* path = std::getenv("LD_LIBRARY_PATH");
        const std::string list = path != nullptr && *path != 0 ? libraries + ":" + path : libraries;
        ::setenv("LD_LIBRARY_PATH", list.c_str(), 1);
        ::setenv("CUBAR_DEVICE", ("local:" + socket.string()).c_str(), 1);
        ::execvp(options.program.front(), options.program.data());
        const int error = errno;
        std::fprintf(stderr, "cubar-run: %s: %s\n", options.program.front(), std::strerror(error));
        ::_exit(error == ENOENT ? kNotFound : kCannotExecute);
    }
    return Process(pid);
}

/// Hands signals on until the program ends. What the terminal sends, the program got itself.
int follow(const Process& program, int signals) {
    for (;;) {
        pollfd ready[] = {{program.pidfd.get(), POLLIN, 0}, {signals, POLLIN, 0}};
        if (::poll(ready, 2, -1) < 0) {
            continue;
        }
        signalfd_siginfo info{};
        while (::read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            if (info.ssi_code != SI_KERNEL) {
                program.signal(static_cast<int>(info.ssi_signo));
            }
        }
        if (ready[0].revents != 0) {
            const int status = program.reap();
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
}

int run(const Options& options) {
    sigset_t forwarded;
    sigset_t before;
    ::sigemptyset(&forwarded);
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH}) {
        ::sigaddset(&forwarded, number);
    }
    ::sigprocmask(SIG_BLOCK, &forwarded, &before);
    const Descriptor signals(::signalfd(-1, &forwarded, SFD_CLOEXEC | SFD_NONBLOCK));
    const Places places = Places::find();
    const RuntimeDirectory directory;
    const ReadySocket notify(directory.path() / "notify");
    const Log log;
    const PrivateCubard cubard(places, directory.path(), options, notify.path(), log, before);
    if (!notify.wait(cubard.process(), signals.get())) {
        signalfd_siginfo info{};
        if (::read(signals.get(), &info, sizeof info) > 0) {
            return 128 + static_cast<int>(info.ssi_signo);
        }
        throw std::runtime_error("cubard did not start: " + log.reason());
    }
    log.forget();
    const Process program =
        start_program(options, directory.path() / "socket", places.libraries, before);
    return follow(program, signals.get());
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 2 && std::strcmp(arguments[1], "--help") == 0) {
        std::fputs(kUsage, stdout);
        return 0;
    }
    if (count == 2 && std::strcmp(arguments[1], "--version") == 0) {
        std::puts("cubar-run " CUBAR_VERSION);
        return 0;
    }
    const auto options = parse(count, arguments);
    if (!options) {
        std::fputs(kUsage, stderr);
        return kOwnFailure;
    }
    try {
        return run(*options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cubar-run: %s\n", error.what());
        return kOwnFailure;
    }
}
