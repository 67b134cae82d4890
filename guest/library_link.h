// SPDX-License-Identifier: Apache-2.0
// The link libcuda.so.1 in ollama's library directories. Every generation of ollama looks there,
// from a service and from a shell, and its installer wipes the directory: so the library itself
// lies in a directory of ours, and the link is made again before each start of the service.
#pragma once

#include <string>
#include <vector>

#include "guest/files.h"
#include "guest/ollama_config.h"

namespace cubar::tools {

/// What stands at the link's place.
enum class LinkState {
    kNoDirectory,      ///< no ollama here
    kEmpty,            ///< the directory holds nothing: no ollama here
    kOnlyOurs,         ///< the directory holds our link and nothing else: ollama was removed
    kMissing,          ///< ollama is here and has no link
    kOurs,             ///< all is well
    kForeign,          ///< a file or link that is not ours; it stays
    kDirectoryIsLink,  ///< the directory is somebody's link: nothing is written through it
    kUnreadable,       ///< errno says why
};

/// Looks at one of ollama's directories.
LinkState look_at_link(const Root& root, const std::string& directory);

/// What was done about one link.
struct LinkDone {
    std::string path;  ///< without the root
    bool good;
    std::string says;  ///< for a person; empty if nothing had to be done
};

/// Makes the links that are missing; removes ours where ollama is gone or where the configuration
/// no longer names the directory.
std::vector<LinkDone> make_links(const Root& root, const OllamaConfig& config);

/// Removes every link of ours.
std::vector<LinkDone> remove_links(const Root& root, const OllamaConfig& config);

/// Of the link's place in a directory of ollama's.
std::string link_path(const std::string& directory);

/// Where the links point.
extern const char* const kGuestLibrary;
/// Remembers in which directories links were made: one path in a line.
extern const char* const kLinkRecord;

}  // namespace cubar::tools
