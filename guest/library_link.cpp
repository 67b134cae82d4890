// SPDX-License-Identifier: Apache-2.0
#include "guest/library_link.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "transport/descriptor.h"

namespace cubar::tools {

const char* const kGuestLibrary = CUBAR_LIBRARY_DIRECTORY "/libcuda.so.1";
const char* const kLinkRecord = "/var/lib/cubar/links";

namespace {

using transport::Descriptor;

constexpr const char* kName = "libcuda.so.1";

/// The directory itself, so that nobody can put another one in its place between two steps.
struct OpenDirectory {
    Descriptor file;
    LinkState state;  ///< why there is no file
};

OpenDirectory open_directory(const Root& root, const std::string& directory) {
    const std::string path = root(directory);
    Descriptor file(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (file) {
        return {std::move(file), LinkState::kOurs};
    }
    const int error = errno;
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) {
        return {Descriptor(), errno == ENOENT ? LinkState::kNoDirectory : LinkState::kUnreadable};
    }
    errno = error;
    return {Descriptor(),
            S_ISLNK(status.st_mode) ? LinkState::kDirectoryIsLink : LinkState::kUnreadable};
}

/// True if the directory holds nothing but (perhaps) what stands at the link's place.
bool holds_nothing_else(int directory) {
    DIR* const stream = fdopendir(fcntl(directory, F_DUPFD_CLOEXEC, 0));
    if (stream == nullptr) {
        return false;
    }
    rewinddir(stream);
    bool nothing = true;
    while (const dirent* entry = readdir(stream)) {
        const std::string_view name = entry->d_name;
        nothing &= name == "." || name == ".." || name == kName;
    }
    closedir(stream);
    return nothing;
}

LinkState look_in(int directory) {
    char target[PATH_MAX];
    const ssize_t bytes = readlinkat(directory, kName, target, sizeof target);
    if (bytes < 0 && errno == ENOENT) {
        return holds_nothing_else(directory) ? LinkState::kEmpty : LinkState::kMissing;
    }
    if (bytes < 0 && errno != EINVAL) {
        return LinkState::kUnreadable;
    }
    if (bytes < 0 || std::string_view(target, static_cast<std::size_t>(bytes)) != kGuestLibrary) {
        return LinkState::kForeign;
    }
    return holds_nothing_else(directory) ? LinkState::kOnlyOurs : LinkState::kOurs;
}

LinkDone failed(const std::string& directory, const char* what) {
    return {link_path(directory), false, std::string(what) + ": " + strerrordesc_np(errno)};
}

LinkDone take_out(const Root& root, const std::string& directory) {
    const OpenDirectory open = open_directory(root, directory);
    const LinkState state = open.file ? look_in(open.file.get()) : open.state;
    if (state != LinkState::kOurs && state != LinkState::kOnlyOurs) {
        return {link_path(directory), true, {}};
    }
    if (unlinkat(open.file.get(), kName, 0) != 0) {
        return failed(directory, "cannot be removed");
    }
    // ollama's package manager left the directory because our link was in it.
    if (state == LinkState::kOnlyOurs) {
        rmdir(root(directory).c_str());
    }
    return {link_path(directory), true, "removed"};
}

LinkDone put_in(const Root& root, const std::string& directory) {
    const OpenDirectory open = open_directory(root, directory);
    const std::string path = link_path(directory);
    switch (open.file ? look_in(open.file.get()) : open.state) {
        case LinkState::kNoDirectory:
        case LinkState::kEmpty:
        case LinkState::kOurs:
            return {path, true, {}};
        case LinkState::kOnlyOurs:
            return take_out(root, directory);
        case LinkState::kMissing:
            // Fails, and changes nothing, if somebody put something there meanwhile.
            return symlinkat(kGuestLibrary, open.file.get(), kName) == 0
                       ? LinkDone{path, true, std::string("made, to ") + kGuestLibrary}
                       : failed(directory, "cannot be made");
        case LinkState::kForeign:
            return {path, false,
                    "is not cubar's and stays; ollama loads it instead of cubar's: move it away if "
                    "nothing needs it"};
        case LinkState::kDirectoryIsLink:
            return {
                path, false,
                directory + " is a link: name the directory that it points to in " + kOllamaConfig};
        case LinkState::kUnreadable:
            break;
    }
    return failed(directory, "cannot be looked at");
}

std::vector<std::string> read_record(const Root& root) {
    std::vector<std::string> directories;
    if (const std::optional<std::string> text = read_text(root(kLinkRecord))) {
        for_each_line(*text, [&](std::string_view line) { directories.emplace_back(line); });
    }
    return directories;
}

bool contains(const std::vector<std::string>& list, const std::string& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

/// The record is what is needed to remove a link from a directory that nobody names any more.
void write_record(const Root& root, const std::vector<std::string>& directories,
                  std::vector<LinkDone>& done) {
    const std::string record = root(kLinkRecord);
    if (directories == read_record(root)) {
        return;
    }
    const std::string folder = record.substr(0, record.rfind('/'));
    bool good = false;
    if (directories.empty()) {
        good = unlink(record.c_str()) == 0 && (rmdir(folder.c_str()) == 0 || errno == ENOTEMPTY);
    } else {
        std::string text;
        for (const std::string& directory : directories) {
            text += directory + "\n";
        }
        good = (mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST) && replace_file(record, text);
    }
    if (!good) {
        done.push_back(
            {kLinkRecord, false, std::string("cannot be written: ") + strerrordesc_np(errno)});
    }
}

}  // namespace

std::string link_path(const std::string& directory) {
    return directory + "/" + kName;
}

LinkState look_at_link(const Root& root, const std::string& directory) {
    const OpenDirectory open = open_directory(root, directory);
    return open.file ? look_in(open.file.get()) : open.state;
}

std::vector<LinkDone> make_links(const Root& root, const OllamaConfig& config) {
    std::vector<LinkDone> done;
    for (const std::string& directory : read_record(root)) {
        if (!contains(config.directories, directory)) {
            done.push_back(take_out(root, directory));
        }
    }
    std::vector<std::string> linked;
    for (const std::string& directory : config.directories) {
        done.push_back(put_in(root, directory));
        if (look_at_link(root, directory) == LinkState::kOurs) {
            linked.push_back(directory);
        }
    }
    write_record(root, linked, done);
    return done;
}

std::vector<LinkDone> remove_links(const Root& root, const OllamaConfig& config) {
    std::vector<std::string> directories = config.directories;
    for (const std::string& directory : read_record(root)) {
        if (!contains(directories, directory)) {
            directories.push_back(directory);
        }
    }
    std::vector<LinkDone> done;
    for (const std::string& directory : directories) {
        done.push_back(take_out(root, directory));
    }
    write_record(root, {}, done);
    return done;
}

}  // namespace cubar::tools
