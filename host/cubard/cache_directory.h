// SPDX-License-Identifier: Apache-2.0
#pragma once

// Directories on disk in which NVIDIA's driver keeps what it compiled, one for each VM. Workers
// write there, so whatever lies below is hostile: it is looked at and removed by descriptors, no
// link is followed, and no depth of it costs memory.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "transport/descriptor.h"

namespace cubar::host {

/// One VM's directory.
class CacheDirectory {
public:
    explicit CacheDirectory(transport::Descriptor directory) : directory_(std::move(directory)) {}

    /// What it takes on disk. Nothing where it has more entries, or lies deeper, than a driver's
    /// cache does: what a worker makes is not followed without end.
    std::optional<std::uint64_t> bytes() const;

    enum class Cleared { kAll, kNotYet, kStuck };
    /// Removes about `most` entries. Nobody may write there meanwhile. kStuck: one cannot be
    /// removed.
    Cleared clear(std::size_t most);

    static constexpr std::size_t kMaxEntries = std::size_t{1} << 16;
    static constexpr unsigned kMaxDepth = 8;

private:
    std::size_t clear_top(std::size_t most);
    bool move_up(int from, const char* name);

    transport::Descriptor directory_;
    std::uint64_t moved_ = 0;
};

/// The directory that they lie in. Its file CACHEDIR.TAG says that it is cubard's, and that nobody
/// needs a backup of it (https://bford.info/cachedir/).
class CacheRoot {
public:
    /// Makes it if it is not there (but not what it lies in). Throws std::runtime_error where it
    /// cannot be used, above all where it holds what is not cubard's: things are removed in it.
    explicit CacheRoot(std::string path);
    /// Throws where the constructor would because of what the directory holds; changes nothing.
    static void check(const std::string& path);

    /// The directories that are there, and whose they are.
    std::map<std::string, uid_t> owners() const;

    /// The directory of this name, made if it is not there. One that was another user's is emptied
    /// first: what that one compiled is not executed for this one. Throws std::system_error.
    CacheDirectory open(const std::string& name, uid_t owner) const;

    /// Throws std::system_error.
    void remove(const std::string& name) const;

    std::string path_of(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
    transport::Descriptor directory_;
};

}  // namespace cubar::host
