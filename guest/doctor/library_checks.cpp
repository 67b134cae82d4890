// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include "guest/doctor/checks.h"
#include "guest/library_link.h"

namespace cubar::tools {

namespace {

constexpr const char* kReinstall = "install the package cubar-ollama again";

/// Where programs other than ollama find a libcuda.so.1.
constexpr const char* kSystemDirectories[] = {"/usr/lib/x86_64-linux-gnu",
                                              "/usr/lib64",
                                              "/usr/lib",
                                              "/usr/lib/wsl/lib",
                                              "/usr/local/cuda/compat",
                                              "/usr/local/nvidia/lib64"};

bool readable(const std::string& path) {
    return access(path.c_str(), R_OK) == 0;
}

void check_ours(const Root& root, Report& report) {
    if (readable(root(kGuestLibrary))) {
        report.good("library", kGuestLibrary);
    } else {
        report.bad("library", std::string(kGuestLibrary) + " is not there or cannot be read",
                   kReinstall);
    }
    const std::string nvml = path_in(CUBAR_LIBRARY_DIRECTORY, "libnvidia-ml.so.1");
    if (readable(root(nvml))) {
        report.good("library", nvml);
    } else {
        report.note("library", nvml + " is not there: monitors see no GPU", kReinstall);
    }
}

/// False: ollama is not there.
bool check_link(const Root& root, const std::string& directory, Report& report) {
    const std::string path = link_path(directory);
    const std::string make = "as root: cubar-link make";
    switch (look_at_link(root, directory)) {
        case LinkState::kNoDirectory:
        case LinkState::kEmpty:
            return false;
        case LinkState::kOnlyOurs:
            report.note("link", directory + " holds our link alone: ollama was removed", make);
            return false;
        case LinkState::kOurs:
            report.good("link", path);
            return true;
        case LinkState::kMissing:
            report.bad("link", path + " is not there", make);
            return true;
        case LinkState::kForeign:
            report.bad("link", path + " is not cubar's, and ollama loads it first",
                       "move it away if nothing needs it, then " + make);
            return true;
        case LinkState::kDirectoryIsLink:
            report.bad("link", directory + " is a link, and cubar writes through none",
                       std::string("name the directory that it points to in ") + kOllamaConfig);
            return true;
        case LinkState::kUnreadable:
            break;
    }
    report.bad("link", directory + " cannot be looked at", "run cubar-doctor as root");
    return true;
}

/// ollama up to 0.6 takes the first of libcuda.so*, and each of its variants has a directory.
void check_others_in(const Root& root, const std::string& directory, Report& report) {
    std::vector<std::string> folders = {directory};
    for (const std::string& name : list_directory(root(directory))) {
        if (name.starts_with("cuda_")) {
            folders.push_back(path_in(directory, name));
        }
    }
    for (const std::string& folder : folders) {
        for (const std::string& name : list_directory(root(folder))) {
            const bool ours = folder == directory && name == "libcuda.so.1";
            if (name.starts_with("libcuda.so") && !ours) {
                report.bad("another libcuda",
                           path_in(folder, name) + " may be loaded before cubar's",
                           "move it away if nothing needs it");
            }
        }
    }
}

}  // namespace

void check_libraries(const Root& root, const OllamaConfig& config, Report& report) {
    for (const std::string& mistake : config.mistakes) {
        report.bad("configuration", mistake, "see ollama.conf(5)");
    }
    check_ours(root, report);
    bool found = false;
    for (const std::string& directory : config.directories) {
        if (check_link(root, directory, report)) {
            found = true;
            check_others_in(root, directory, report);
        }
    }
    if (!found) {
        std::string all;
        for (const std::string& directory : config.directories) {
            all += (all.empty() ? "" : ", ") + directory;
        }
        report.bad("ollama", "there is none in " + all,
                   std::string("install ollama, or name its library directory in ") +
                       kOllamaConfig + "; then cubar-link make");
    }
    for (const char* directory : kSystemDirectories) {
        const std::string path = path_in(directory, "libcuda.so.1");
        if (readable(root(path))) {
            report.note("another libcuda",
                        path +
                            " is found by all programs but ollama, which looks into its own "
                            "directory first",
                        "if this VM has no GPU of NVIDIA's, remove the package that it belongs to");
        }
    }
}

}  // namespace cubar::tools
