// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "driver/log.h"

using namespace cubar::driver;

namespace {

// A file for the log and the environment that names it, for one test.
class LogFile {
public:
    explicit LogFile(const char* level = nullptr) {
        const int fd = mkstemp(path_.data());
        REQUIRE(fd >= 0);
        close(fd);
        setenv("CUBAR_LOG", path_.c_str(), 1);
        if (level != nullptr) {
            setenv("CUBAR_LOG_LEVEL", level, 1);
        }
        log_reread_environment();
    }
    ~LogFile() {
        unsetenv("CUBAR_LOG");
        unsetenv("CUBAR_LOG_LEVEL");
        log_reread_environment();
        unlink(path_.c_str());
    }
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;

    const std::string& path() const { return path_; }

    std::vector<std::string> lines() const {
        std::ifstream file(path_);
        std::vector<std::string> result;
        for (std::string line; std::getline(file, line);) {
            result.push_back(line);
        }
        return result;
    }

private:
    std::string path_ = "/tmp/cubar-log-test-XXXXXX";
};

int touched(int& counter) {
    return ++counter;
}

}  // namespace

TEST_CASE("a line has time, process, thread, level and text") {
    const LogFile file;
    errno = ENOENT;
    CUBAR_LOG(kError, "answer %d\nto %s", 42, "all");
    CHECK(errno == ENOENT);
    const auto lines = file.lines();
    REQUIRE(lines.size() == 1);
    const std::regex form(
        R"((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (\d+) (\d+) ERROR answer 42 to all)");
    std::smatch match;
    REQUIRE(std::regex_match(lines[0], match, form));
    CHECK(match[2] == std::to_string(getpid()));
    CHECK(match[3] == std::to_string(gettid()));

    // The hand-made calendar agrees with libc's to the second before or after.
    char expected[32];
    const std::time_t now = std::time(nullptr);
    std::tm calendar{};
    gmtime_r(&now, &calendar);
    std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:", &calendar);
    const std::time_t before = now - 5;
    char expected_before[32];
    gmtime_r(&before, &calendar);
    std::strftime(expected_before, sizeof expected_before, "%Y-%m-%dT%H:", &calendar);
    const std::string hour = match[1].str().substr(0, 14);
    CHECK((hour == expected || hour == expected_before));
}

TEST_CASE("nothing is written where CUBAR_LOG is not set") {
    const LogFile file;
    unsetenv("CUBAR_LOG");
    log_reread_environment();
    int evaluated = 0;
    CUBAR_LOG(kError, "%d", touched(evaluated));  // reads the environment
    CHECK_FALSE(log_enabled(LogLevel::kError));
    CUBAR_LOG(kError, "%d", touched(evaluated));
    CHECK(evaluated == 1);
    CHECK(file.lines().empty());
}

TEST_CASE("the level lets itself and what is more severe through") {
    const auto written = [](const char* level) {
        const LogFile file(level);
        CUBAR_LOG(kError, "e");
        CUBAR_LOG(kWarn, "w");
        CUBAR_LOG(kInfo, "i");
        CUBAR_LOG(kDebug, "d");
        return file.lines().size();
    };
    CHECK(written("error") == 1);
    CHECK(written(nullptr) == 2);
    CHECK(written("WARN") == 2);
    CHECK(written("nonsense") == 2);
    CHECK(written("info") == 3);
    CHECK(written("debug") == 4);
}

TEST_CASE("a long line is cut, and stays one line") {
    const LogFile file;
    const std::string text(5000, 'x');
    CUBAR_LOG(kError, "%s", text.c_str());
    const auto lines = file.lines();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].size() == 1023);
}

TEST_CASE("lines of many threads do not mix") {
    const LogFile file;
    constexpr std::size_t kThreads = 8;
    constexpr std::size_t kLines = 200;
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([] {
            for (std::size_t line = 0; line < kLines; ++line) {
                CUBAR_LOG(kError, "begin %s end", std::string(300, 'y').c_str());
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    const auto lines = file.lines();
    CHECK(lines.size() == kThreads * kLines);
    const std::string tail = " begin " + std::string(300, 'y') + " end";
    for (const auto& line : lines) {
        REQUIRE(line.size() > tail.size());
        REQUIRE(line.substr(line.size() - tail.size()) == tail);
    }
}

TEST_CASE("a descriptor that was closed and used again is not written to") {
    const LogFile file;
    CUBAR_LOG(kError, "first");
    char other_path[] = "/tmp/cubar-log-other-XXXXXX";
    const int other = mkstemp(other_path);
    REQUIRE(other >= 0);
    // As a daemon does that closes all it does not know: the log's number now means `other`.
    for (int fd = STDERR_FILENO + 1; fd < 256; ++fd) {
        if (fd != other && fcntl(fd, F_GETFD) >= 0) {
            char link[64];
            std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            char target[256] = {};
            if (readlink(link, target, sizeof target - 1) > 0 && file.path() == target) {
                REQUIRE(dup2(other, fd) == fd);
            }
        }
    }
    CUBAR_LOG(kError, "second");
    CHECK(lseek(other, 0, SEEK_END) == 0);
    close(other);
    unlink(other_path);
    CHECK(file.lines().size() == 2);
}

TEST_CASE("a forked child logs under its own number") {
    const LogFile file;
    CUBAR_LOG(kError, "parent");
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        CUBAR_LOG(kError, "child");
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    const auto lines = file.lines();
    REQUIRE(lines.size() == 2);
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, " %d %d ERROR child", child, child);
    CHECK(lines[1].find(numbers) != std::string::npos);
}

TEST_CASE("a path that cannot be opened turns logging off") {
    const LogFile file;
    setenv("CUBAR_LOG", "/nonexistent/directory/log", 1);
    log_reread_environment();
    CUBAR_LOG(kError, "lost");
    CHECK_FALSE(log_enabled(LogLevel::kError));
}

TEST_CASE("CUBAR_LOG may name an open descriptor, which stays its owner's") {
    LogFile file;
    const int fd = open(file.path().c_str(), O_WRONLY | O_APPEND);
    REQUIRE(fd > STDERR_FILENO);
    setenv("CUBAR_LOG", ("fd:" + std::to_string(fd)).c_str(), 1);
    log_reread_environment();
    CUBAR_LOG(kError, "to a descriptor");
    log_reread_environment();
    REQUIRE(fcntl(fd, F_GETFD) >= 0);
    REQUIRE(file.lines().size() == 1);
    REQUIRE(file.lines()[0].find("to a descriptor") != std::string::npos);
    close(fd);
}
