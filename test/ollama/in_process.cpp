// SPDX-License-Identifier: Apache-2.0
// ollama 0.5 and 0.6: the server's own process looks for libcuda.so*, first in lib/ollama, then in
// LD_LIBRARY_PATH, then where systems keep it; takes the first that has every function and
// initialises; reads the devices' memory; and closes it, to open it again at each refresh.
//   refresh S                 how long the slowest refresh took
//   kept FILES MAPPINGS THREADS  what this process has after a refresh: at first, and at the end
//   replica-in-process LIB_OLLAMA [SYSTEM_DIRECTORY…]
#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "replica.h"

namespace {

namespace fs = std::filesystem;
using namespace ollama_replica;

constexpr int kRefreshes = 10;

struct InProcess : Driver {
    using Driver::Driver;

    bool usable() {
        return finds_functions() && library.find(uuid, "cuDeviceGetUuid") &&
               library.find(create, "cuCtxCreate_v3") && library.find(memory, "cuMemGetInfo_v2") &&
               library.find(destroy, "cuCtxDestroy") && starts();
    }

    bool show(int ordinal) const {
        CUdevice device = 0;
        int major = 0;
        int minor = 0;
        CUuuid id{};
        char called[256] = "";
        CUcontext context = nullptr;
        size_t free = 0;
        size_t total = 0;
        if (!get(ordinal, device, major, minor) ||
            !succeeded(uuid(&id, device), "cuDeviceGetUuid") ||
            !succeeded(name(called, sizeof called, device), "cuDeviceGetName") ||
            !succeeded(create(&context, nullptr, 0, 0, device), "cuCtxCreate_v3")) {
            return false;
        }
        const bool known = succeeded(memory(&free, &total), "cuMemGetInfo_v2");
        if (!succeeded(destroy(context), "cuCtxDestroy") || !known) return false;
        print_device(major, minor, id, free, total, called);
        return true;
    }

    CUresult (*uuid)(CUuuid*, CUdevice) = nullptr;
    CUresult (*create)(CUcontext*, CUexecAffinityParam*, int, unsigned, CUdevice) = nullptr;
    CUresult (*memory)(size_t*, size_t*) = nullptr;
    CUresult (*destroy)(CUcontext) = nullptr;
};

std::vector<fs::path> directories(int count, char** arguments) {
    std::vector<fs::path> found{arguments[1]};
    if (const char* inherited = std::getenv("LD_LIBRARY_PATH")) {
        std::istringstream path(inherited);
        for (std::string part; std::getline(path, part, ':');) found.emplace_back(part);
    }
    found.insert(found.end(), arguments + 2, arguments + count);
    return found;
}

/// Each file once, links followed.
std::vector<fs::path> candidates(const std::vector<fs::path>& places) {
    std::vector<fs::path> files;
    for (const fs::path& place : places) {
        glob_t matches{};
        if (::glob((place / "libcuda.so*").c_str(), 0, nullptr, &matches) == 0) {
            for (size_t i = 0; i < matches.gl_pathc; ++i) {
                std::error_code error;
                const fs::path file = fs::canonical(matches.gl_pathv[i], error);
                if (!error && std::find(files.begin(), files.end(), file) == files.end()) {
                    files.push_back(file);
                }
            }
        }
        ::globfree(&matches);
    }
    return files;
}

bool show_all(const fs::path& file) {
    InProcess driver(file);
    if (!driver.usable() || driver.count == 0) return false;
    std::printf("library %s\n", file.c_str());
    for (int ordinal = 0; ordinal < driver.count; ++ordinal) {
        if (!driver.show(ordinal)) return false;
    }
    return true;
}

auto entries(const char* directory) {
    return std::distance(fs::directory_iterator(directory), fs::directory_iterator());
}

void show_what_is_kept() {
    std::ifstream maps("/proc/self/maps");
    const auto mappings =
        std::count(std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>(), '\n');
    std::printf("kept %td %td %td\n", entries("/proc/self/fd"), mappings,
                entries("/proc/self/task"));
}

bool refresh_often(const fs::path& file) {
    double slowest = 0;
    for (int refresh = 0; refresh < kRefreshes; ++refresh) {
        const auto begin = Clock::now();
        if (!show_all(file)) return false;
        slowest = std::max(slowest, seconds_since(begin));
        if (refresh == 0) show_what_is_kept();
    }
    show_what_is_kept();
    std::printf("refresh %.3f\n", slowest);
    return true;
}

}  // namespace

int main(int count, char** arguments) {
    const auto begin = Clock::now();
    if (count < 2) return 2;
    for (const fs::path& file : candidates(directories(count, arguments))) {
        if (!show_all(file)) continue;
        std::printf("seconds %.3f\n", seconds_since(begin));
        return refresh_often(file) ? 0 : 1;
    }
    std::puts("no library");
    return 0;
}
