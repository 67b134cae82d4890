// SPDX-License-Identifier: Apache-2.0
// A system of files below a directory of its own, and an ivshmem device in its sysfs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cubar/layout.h"
#include "guest/files.h"

namespace cubar::tools {

class MadeUp {
public:
    MadeUp();
    ~MadeUp();
    MadeUp(const MadeUp&) = delete;
    MadeUp& operator=(const MadeUp&) = delete;

    const Root& root() const { return root_; }
    std::string path(std::string_view path) const { return root_(path); }

    void file(std::string_view path, std::string_view text = {});
    void directory(std::string_view path);
    void link(std::string_view path, std::string_view target);
    void remove(std::string_view path);
    bool has(std::string_view path) const;
    /// Where a link points; empty if it is none.
    std::string target(std::string_view path) const;
    std::string text(std::string_view path) const;
    unsigned mode(std::string_view path) const;

    /// An ivshmem device whose memory is `header` and what it promises. Its directory.
    std::string device(const Header& header, std::string_view address = "0000:00:04.0");

private:
    Root root_;
};

/// A header as cubard writes it.
void describe_memory(Header& header);

}  // namespace cubar::tools
