// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/cache_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace cubar::host {
namespace {

constexpr const char* kTagName = "CACHEDIR.TAG";
/// The first line is the same in every tag; the second says whose cache it is.
constexpr std::string_view kTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# What NVIDIA's driver compiled for virtual machines, kept by cubard.\n";
constexpr gid_t kSameGroup = ~gid_t{0};
/// st_blocks counts in these.
constexpr std::uint64_t kBlockBytes = 512;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

transport::Descriptor open_directory(int parent, const char* name) {
    return transport::Descriptor(
        ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// The names in a directory, one after the other.
class Names {
public:
    explicit Names(int directory) {
        transport::Descriptor copy = open_directory(directory, ".");
        if (copy) {
            stream_.reset(::fdopendir(copy.get()));
            if (stream_) {
                copy.release();
            }
        }
    }
    /// Null at the end, and where it cannot be read.
    const char* next() {
        for (const dirent* entry = nullptr;
             stream_ && (entry = ::readdir(stream_.get())) != nullptr;) {
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") {
                return entry->d_name;
            }
        }
        return nullptr;
    }

private:
    std::unique_ptr<DIR, decltype([](DIR* stream) { ::closedir(stream); })> stream_;
};

struct Count {
    std::uint64_t bytes = 0;
    std::size_t entries = 0;
    bool beyond = false;
};

void count(int directory, unsigned depth, Count& result) {
    Names names(directory);
    while (const char* name = names.next()) {
        struct stat status {};
        if (++result.entries > CacheDirectory::kMaxEntries) {
            result.beyond = true;
        }
        if (result.beyond) {
            return;
        }
        if (::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;  // the driver has just removed it
        }
        result.bytes += static_cast<std::uint64_t>(status.st_blocks) * kBlockBytes;
        if (!S_ISDIR(status.st_mode)) {
            continue;
        }
        if (depth == CacheDirectory::kMaxDepth) {
            result.beyond = true;
            return;
        }
        if (const transport::Descriptor inner = open_directory(directory, name)) {
            count(inner.get(), depth + 1, result);
        }
    }
}

transport::Descriptor open_root(const std::string& path) {
    transport::Descriptor result(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!result) {
        fail(path);
    }
    return result;
}

bool is_empty(int directory) {
    return Names(directory).next() == nullptr;
}

}  // namespace

std::optional<std::uint64_t> CacheDirectory::bytes() const {
    Count result;
    count(directory_.get(), 1, result);
    return result.beyond ? std::nullopt : std::optional(result.bytes);
}

CacheDirectory::Cleared CacheDirectory::clear(std::size_t most) {
    for (std::size_t done = 0; done < most;) {
        const std::size_t removed = clear_top(most - done);
        if (is_empty(directory_.get())) {
            return Cleared::kAll;
        }
        if (removed == 0) {
            return Cleared::kStuck;
        }
        done += removed;
    }
    return Cleared::kNotYet;
}

/// Not by descending: a directory's directories are moved to the top, each once, so that any depth
/// is removed with two open directories.
std::size_t CacheDirectory::clear_top(std::size_t most) {
    std::size_t done = 0;
    Names top(directory_.get());
    const char* name = nullptr;
    while (done < most && (name = top.next()) != nullptr) {
        if (::unlinkat(directory_.get(), name, 0) == 0) {
            ++done;
            continue;
        }
        const transport::Descriptor inner = open_directory(directory_.get(), name);
        Names names(inner.get());
        const char* entry = nullptr;
        while (done < most && (entry = names.next()) != nullptr) {
            const bool gone = ::unlinkat(inner.get(), entry, 0) == 0 || move_up(inner.get(), entry);
            done += gone ? 1 : 0;
        }
        done += ::unlinkat(directory_.get(), name, AT_REMOVEDIR) == 0 ? 1 : 0;
    }
    return done;
}

bool CacheDirectory::move_up(int from, const char* name) {
    for (;;) {
        const std::string free_name = "cleared." + std::to_string(moved_++);
        if (::renameat(from, name, directory_.get(), free_name.c_str()) == 0) {
            return true;
        }
        if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) {
            return false;
        }
    }
}

CacheRoot::CacheRoot(std::string path) : path_(std::move(path)) {
    if (::mkdir(path_.c_str(), 0755) != 0 && errno != EEXIST) {
        fail(path_);
    }
    check(path_);
    directory_ = open_root(path_);
    if (!is_empty(directory_.get())) {
        return;
    }
    const transport::Descriptor tag(
        ::openat(directory_.get(), kTagName, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!tag || ::write(tag.get(), kTag.data(), kTag.size()) != ssize_t{kTag.size()}) {
        fail(path_ + "/" + kTagName);
    }
    // Workers pass through it, whatever the mask of modes was.
    if (::fchmod(directory_.get(), 0755) != 0) {
        fail(path_);
    }
}

void CacheRoot::check(const std::string& path) {
    const transport::Descriptor directory = open_root(path);
    if (is_empty(directory.get())) {
        return;
    }
    const transport::Descriptor tag(
        ::openat(directory.get(), kTagName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    std::string text(kTag.size(), '\0');
    if (!tag || ::read(tag.get(), text.data(), text.size()) != ssize_t{kTag.size()} ||
        text != kTag) {
        throw std::runtime_error(path +
                                 " holds files that are not cubard's: name an empty "
                                 "directory for compile caches, or one that is not there");
    }
}

std::map<std::string, uid_t> CacheRoot::owners() const {
    std::map<std::string, uid_t> result;
    Names names(directory_.get());
    while (const char* name = names.next()) {
        struct stat status {};
        if (::fstatat(directory_.get(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode)) {
            result.emplace(name, status.st_uid);
        }
    }
    return result;
}

CacheDirectory CacheRoot::open(const std::string& name, uid_t owner) const {
    if (::mkdirat(directory_.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
        fail(path_of(name));
    }
    transport::Descriptor directory = open_directory(directory_.get(), name.c_str());
    struct stat status {};
    if (!directory || ::fstat(directory.get(), &status) != 0) {
        fail(path_of(name));
    }
    const int file = directory.get();
    CacheDirectory result(std::move(directory));
    if (status.st_uid != owner) {
        CacheDirectory::Cleared cleared{};
        do {
            cleared = result.clear(CacheDirectory::kMaxEntries);
        } while (cleared == CacheDirectory::Cleared::kNotYet);
        if (cleared == CacheDirectory::Cleared::kStuck || ::fchown(file, owner, kSameGroup) != 0) {
            fail(path_of(name));
        }
    }
    return result;
}

void CacheRoot::remove(const std::string& name) const {
    transport::Descriptor directory = open_directory(directory_.get(), name.c_str());
    if (!directory) {
        fail(path_of(name));
    }
    CacheDirectory removed(std::move(directory));
    while (removed.clear(CacheDirectory::kMaxEntries) == CacheDirectory::Cleared::kNotYet) {
    }
    if (::unlinkat(directory_.get(), name.c_str(), AT_REMOVEDIR) != 0) {
        fail(path_of(name));
    }
}

}  // namespace cubar::host
