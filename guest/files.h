// SPDX-License-Identifier: Apache-2.0
// Small files of the running system, or of a made-up one below another root.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cubar::tools {

/// Where the system's paths begin: empty, or the directory of a made-up system.
struct Root {
    std::string directory;

    std::string operator()(std::string_view path) const { return directory + std::string(path); }
    bool made_up() const { return !directory.empty(); }
};

/// The whole of a text file, up to a megabyte; nothing if it cannot be read.
std::optional<std::string> read_text(const std::string& path);

/// The first line without blanks around it; empty if the file cannot be read.
std::string read_line(const std::string& path);

/// Names in a directory, sorted, without "." and ".."; none if it cannot be read.
std::vector<std::string> list_directory(const std::string& path);

/// Writes the file anew, so that a reader sees the old text or the new one. False: errno says why.
bool replace_file(const std::string& path, std::string_view text);

std::string_view trim(std::string_view text);

/// DIRECTORY/NAME.
std::string path_in(std::string_view directory, std::string_view name);

/// Calls `each` with every line, without its end.
template <typename Each>
void for_each_line(std::string_view text, Each&& each) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        each(text.substr(0, end));
        if (end == std::string_view::npos) {
            return;
        }
        text.remove_prefix(end + 1);
    }
}

}  // namespace cubar::tools
