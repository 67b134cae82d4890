// SPDX-License-Identifier: Apache-2.0
#include "guest/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "transport/descriptor.h"

namespace cubar::tools {

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 20;

}  // namespace

std::optional<std::string> read_text(const std::string& path) {
    const transport::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return std::nullopt;
    }
    std::string text;
    char part[4096];
    for (;;) {
        const ssize_t bytes = read(file.get(), part, sizeof part);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0) {
            return std::nullopt;
        }
        if (bytes == 0 || text.size() >= kMostBytes) {
            return text;
        }
        text.append(part, static_cast<std::size_t>(bytes));
    }
}

std::string read_line(const std::string& path) {
    const std::optional<std::string> text = read_text(path);
    return text ? std::string(trim(std::string_view(*text).substr(0, text->find('\n'))))
                : std::string();
}

std::vector<std::string> list_directory(const std::string& path) {
    std::vector<std::string> names;
    DIR* const stream = opendir(path.c_str());
    if (stream == nullptr) {
        return names;
    }
    while (const dirent* entry = readdir(stream)) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
}

bool replace_file(const std::string& path, std::string_view text) {
    const std::string next = path + ".new";
    const transport::Descriptor file(
        open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file) {
        return false;
    }
    while (!text.empty()) {
        const ssize_t bytes = write(file.get(), text.data(), text.size());
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(bytes));
    }
    return fsync(file.get()) == 0 && rename(next.c_str(), path.c_str()) == 0;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view kBlanks = " \t\r\n";
    const std::size_t begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::string path_in(std::string_view directory, std::string_view name) {
    std::string path(directory);
    path.append("/").append(name);
    return path;
}

}  // namespace cubar::tools
