// SPDX-License-Identifier: Apache-2.0
// Which ollama this guest has, as /etc/cubar/ollama.conf says: ollama.conf(5).
#pragma once

#include <string>
#include <vector>

#include "guest/files.h"

namespace cubar::tools {

struct OllamaConfig {
    /// ollama's library directories, where they may be: a package's and the installer's.
    std::vector<std::string> directories = {"/usr/lib/ollama", "/usr/local/lib/ollama"};
    std::string service = "ollama.service";
    std::string user = "ollama";
    /// Lines that say nothing that is known, in words.
    std::vector<std::string> mistakes;
};

/// Everything is as above if there is no such file.
OllamaConfig read_ollama_config(const Root& root);

/// Its path without a root.
extern const char* const kOllamaConfig;

}  // namespace cubar::tools
