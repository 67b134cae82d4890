// SPDX-License-Identifier: Apache-2.0
#include "guest/ollama_config.h"

namespace cubar::tools {

const char* const kOllamaConfig = CUBAR_CONFIG_DIRECTORY "/ollama.conf";

namespace {

/// An absolute path without ".." and without a slash at its end.
bool is_clean_path(std::string_view path) {
    return path.size() > 1 && path.front() == '/' && path.back() != '/' &&
           path.find("/../") == std::string_view::npos && !path.ends_with("/..");
}

}  // namespace

OllamaConfig read_ollama_config(const Root& root) {
    OllamaConfig config;
    const std::optional<std::string> text = read_text(root(kOllamaConfig));
    bool named = false;
    unsigned number = 0;
    for_each_line(text ? std::string_view(*text) : std::string_view(), [&](std::string_view line) {
        ++number;
        line = trim(line);
        if (line.empty() || line.front() == '#') {
            return;
        }
        const std::size_t equals = line.find('=');
        const std::string_view key = trim(line.substr(0, equals));
        const std::string value(equals == std::string_view::npos ? std::string_view()
                                                                 : trim(line.substr(equals + 1)));
        if (key == "directory" && is_clean_path(value)) {
            if (!named) {
                config.directories.clear();
            }
            named = true;
            config.directories.push_back(value);
        } else if (key == "service" && value.ends_with(".service")) {
            config.service = value;
        } else if (key == "user" && !value.empty()) {
            config.user = value;
        } else {
            config.mistakes.push_back(
                std::string(kOllamaConfig) + ":" + std::to_string(number) + ": \"" +
                std::string(line) +
                "\" is none of directory = /PATH, service = NAME.service, user = NAME");
        }
    });
    return config;
}

}  // namespace cubar::tools
