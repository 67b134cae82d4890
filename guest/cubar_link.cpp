// SPDX-License-Identifier: Apache-2.0
// cubar-link(8): makes, makes again, or removes libcuda.so.1 in ollama's library directories.
#include <cstdio>
#include <cstring>

#include "guest/library_link.h"

namespace {

constexpr const char* kUsage =
    "usage: cubar-link make|remove [--root DIR]\n"
    "  make       put the link libcuda.so.1 into each of ollama's library directories\n"
    "  remove     take it out again\n"
    "  --root DIR the system below DIR instead of the running one\n";

}  // namespace

int main(int count, char** arguments) {
    cubar::tools::Root root;
    const char* verb = nullptr;
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(arguments[i], "--root") == 0 && i + 1 < count) {
            root.directory = arguments[++i];
        } else if (std::strcmp(arguments[i], "--help") == 0) {
            std::fputs(kUsage, stdout);
            return 0;
        } else if (std::strcmp(arguments[i], "--version") == 0) {
            std::puts("cubar-link " CUBAR_VERSION);
            return 0;
        } else if (verb == nullptr) {
            verb = arguments[i];
        } else {
            verb = "";
        }
    }
    const bool make = verb != nullptr && std::strcmp(verb, "make") == 0;
    if (!make && (verb == nullptr || std::strcmp(verb, "remove") != 0)) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    const cubar::tools::OllamaConfig config = cubar::tools::read_ollama_config(root);
    for (const std::string& mistake : config.mistakes) {
        std::fprintf(stderr, "%s\n", mistake.c_str());
    }
    bool good = config.mistakes.empty();
    for (const cubar::tools::LinkDone& link :
         make ? make_links(root, config) : remove_links(root, config)) {
        if (!link.says.empty()) {
            std::fprintf(link.good ? stdout : stderr, "%s: %s\n", link.path.c_str(),
                         link.says.c_str());
        }
        good &= link.good;
    }
    return good ? 0 : 1;
}
