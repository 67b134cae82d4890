// SPDX-License-Identifier: Apache-2.0
#include "host/common/sandbox.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

namespace cubar::host {
namespace {

/// Runs `body` in a child that is confined; its result, or -1 if the child did not end by itself.
int confined(Gpu gpu, const std::function<int()>& body, const std::string& cache = "") {
    const pid_t pid = ::fork();
    if (pid == 0) {
        if (!enter_sandbox(gpu, cache).confined) {
            ::_exit(99);
        }
        ::_exit(body());
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int refused(long result) {
    return result < 0 && (errno == EPERM || errno == EACCES) ? 0 : 1;
}

TEST_CASE("without the sandbox the same calls succeed") {
    const int fd = ::open("/etc/passwd", O_RDONLY);
    CHECK(fd >= 0);
    ::close(fd);
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    CHECK(socket >= 0);
    ::close(socket);
}

TEST_CASE("a confined worker reaches nothing that is not its own") {
    const Gpu gpu = GENERATE(Gpu::kSoft, Gpu::kNull, Gpu::kNvidia);
    CAPTURE(gpu_name(gpu));
    CHECK(confined(gpu, [] { return refused(::open("/etc/passwd", O_RDONLY)); }) == 0);
    CHECK(confined(gpu, [] { return refused(::open("/tmp/x", O_CREAT | O_WRONLY, 0600)); }) == 0);
    CHECK(confined(gpu, [] {
              char name[] = "/bin/true";
              char* words[] = {name, nullptr};
              return refused(::execv(name, words));
          }) == 0);
    CHECK(confined(gpu, [] { return refused(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }) ==
          0);
    CHECK(confined(gpu, [] { return refused(::socket(AF_INET, SOCK_STREAM, 0)); }) == 0);
    CHECK(confined(gpu, [] { return refused(::socket(AF_INET6, SOCK_DGRAM, 0)); }) == 0);
    CHECK(confined(gpu, [] { return refused(::fork()); }) == 0);
    CHECK(confined(gpu, [] { return refused(::kill(::getppid(), 0)); }) == 0);
}

TEST_CASE("a confined worker can do its work") {
    CHECK(confined(Gpu::kSoft, [] {
              int result = 1;
              std::thread([&] { result = 0; }).join();
              return result;
          }) == 0);
    CHECK(confined(Gpu::kSoft, [] {
              void* place = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return place != MAP_FAILED && ::mprotect(place, 4096, PROT_READ) == 0 ? 0 : 1;
          }) == 0);
    CHECK(confined(Gpu::kSoft, [] {
              return refused(reinterpret_cast<long>(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC,
                                                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
          }) == 0);
    CHECK(confined(Gpu::kNvidia, [] { return ::open("/proc/version", O_RDONLY) >= 0 ? 0 : 1; }) ==
          0);
}

TEST_CASE("a confined worker signals and limits nobody else") {
    const Gpu gpu = GENERATE(Gpu::kSoft, Gpu::kNvidia);
    const pid_t other = ::getpid();
    CHECK(confined(gpu, [other] { return refused(::syscall(SYS_tgkill, other, other, 0)); }) == 0);
    CHECK(confined(gpu, [] { return ::pthread_kill(::pthread_self(), 0); }) == 0);
    CHECK(confined(gpu, [other] {
              const rlimit limit{100, 100};
              return refused(::syscall(SYS_prlimit64, other, RLIMIT_CPU, &limit, nullptr));
          }) == 0);
}

/// What NVIDIA's driver does with its cache, and nothing that would hide what is written there.
TEST_CASE("a compile cache can be filled, and nothing in it be hidden") {
    std::string name = "/var/tmp/cubar-sandbox-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    const std::string index = name + "/index";
    const std::string hidden = name + "/hidden";
    const std::string directory = name + "/0";
    const std::string kernel = directory + "/kernel";
    const auto with_cache = [&](const std::function<int()>& body) {
        return confined(Gpu::kNvidia, body, name);
    };
    CHECK(with_cache([&] {
              const int fd = ::open(index.c_str(), O_RDWR | O_CREAT, 0600);
              struct flock lock {};
              lock.l_type = F_WRLCK;
              return fd >= 0 && ::flock(fd, LOCK_EX) == 0 && ::fcntl(fd, F_SETLKW, &lock) == 0 &&
                             ::write(fd, "12", 2) == 2 && ::ftruncate(fd, 1) == 0 &&
                             ::fsync(fd) == 0 && ::mkdir(directory.c_str(), 0700) == 0 &&
                             ::open(kernel.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600) >= 0
                         ? 0
                         : 1;
          }) == 0);
    CHECK(with_cache([&] { return ::open(index.c_str(), O_RDWR) >= 0 ? 0 : 1; }) == 0);
    CHECK(with_cache([&] { return refused(::unlink(index.c_str())); }) == 0);
    CHECK(with_cache([&] { return refused(::rmdir(directory.c_str())); }) == 0);
    CHECK(with_cache([&] { return refused(::rename(index.c_str(), hidden.c_str())); }) == 0);
    CHECK(with_cache([&] { return refused(::link(index.c_str(), hidden.c_str())); }) == 0);
    CHECK(with_cache([&] { return refused(::symlink("/", hidden.c_str())); }) == 0);
    CHECK(with_cache([&] { return refused(::open(name.c_str(), O_TMPFILE | O_RDWR, 0600)); }) == 0);
    CHECK(with_cache([&] {
              return refused(::openat(AT_FDCWD, name.c_str(), O_TMPFILE | O_RDWR, 0600));
          }) == 0);
    CHECK(with_cache([&] {
              return refused(::open("/var/tmp/cubar-elsewhere", O_RDWR | O_CREAT, 0600));
          }) == 0);
    // Without leave nothing of it is open.
    CHECK(confined(Gpu::kNvidia, [&] { return refused(::open(index.c_str(), O_RDWR)); }) == 0);
    CHECK(confined(
              Gpu::kSoft, [&] { return refused(::open(index.c_str(), O_RDWR)); }, name) == 0);
    CHECK(::unlink(kernel.c_str()) == 0);
    CHECK(::rmdir(directory.c_str()) == 0);
    CHECK(::unlink(index.c_str()) == 0);
    CHECK(::rmdir(name.c_str()) == 0);  // and no more was made
}

TEST_CASE("the arguments of a worker survive the way") {
    const WorkerArguments sent{.gpu = Gpu::kNull,
                               .driver = "/a b/libcuda.so.1",
                               .fences = false,
                               .context_bytes = {7, 0},
                               .cache = "/c d",
                               .control_fd = 3};
    std::vector<std::string> words = sent.to_strings();
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    const auto read = WorkerArguments::parse(pointers);
    REQUIRE(read);
    CHECK(read->gpu == Gpu::kNull);
    CHECK(read->driver == sent.driver);
    CHECK_FALSE(read->fences);
    CHECK(read->cache == sent.cache);
    CHECK(read->context_bytes == sent.context_bytes);
    CHECK(read->control_fd == 3);
    for (std::string wrong :
         {"--control-fd=-1", "--context-bytes=", "--context-bytes=1,", "--else"}) {
        pointers.push_back(wrong.data());
        CHECK_FALSE(WorkerArguments::parse(pointers));
        pointers.pop_back();
    }
}

}  // namespace
}  // namespace cubar::host
