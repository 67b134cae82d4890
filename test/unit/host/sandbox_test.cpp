// SPDX-License-Identifier: Apache-2.0
#include "host/common/sandbox.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <thread>

namespace cubar::host {
namespace {

/// Runs `body` in a child that is confined; its result, or -1 if the child did not end by itself.
int confined(Gpu gpu, const std::function<int()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        if (!enter_sandbox(gpu).confined) {
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

TEST_CASE("the arguments of a worker survive the way") {
    const WorkerArguments sent{
        .gpu = Gpu::kNull, .driver = "/a b/libcuda.so.1", .fences = false, .control_fd = 3};
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
    CHECK(read->control_fd == 3);
    char wrong[] = "--control-fd=-1";
    pointers.push_back(wrong);
    CHECK_FALSE(WorkerArguments::parse(pointers));
}

}  // namespace
}  // namespace cubar::host
