// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>

#include "guest/library_link.h"
#include "made_up.h"

using namespace cubar::tools;

namespace {

constexpr const char* kPackage = "/usr/lib/ollama/libcuda.so.1";
constexpr const char* kInstaller = "/usr/local/lib/ollama/libcuda.so.1";

std::vector<LinkDone> make(const MadeUp& system) {
    return make_links(system.root(), read_ollama_config(system.root()));
}

std::vector<LinkDone> remove_all(const MadeUp& system) {
    return remove_links(system.root(), read_ollama_config(system.root()));
}

bool good(const std::vector<LinkDone>& done) {
    return std::all_of(done.begin(), done.end(), [](const LinkDone& link) { return link.good; });
}

bool silent(const std::vector<LinkDone>& done) {
    return std::all_of(done.begin(), done.end(),
                       [](const LinkDone& link) { return link.says.empty(); });
}

}  // namespace

TEST_CASE("Each ollama that is there gets a link, once", "[link]") {
    MadeUp system;
    CHECK(silent(make(system)));
    CHECK_FALSE(system.has(kLinkRecord));

    system.file("/usr/local/lib/ollama/libggml-base.so");
    CHECK(good(make(system)));
    CHECK(system.target(kInstaller) == kGuestLibrary);
    CHECK_FALSE(system.has("/usr/lib/ollama"));
    CHECK(system.text(kLinkRecord) == "/usr/local/lib/ollama\n");
    CHECK(silent(make(system)));

    system.file("/usr/lib/ollama/libggml-base.so");
    CHECK(good(make(system)));
    CHECK(system.target(kPackage) == kGuestLibrary);
}

TEST_CASE("The link comes back after ollama's installer wiped the directory", "[link]") {
    MadeUp system;
    system.file("/usr/local/lib/ollama/libggml-base.so");
    make(system);
    system.remove("/usr/local/lib/ollama");
    CHECK(silent(make(system)));
    CHECK_FALSE(system.has(kLinkRecord));
    system.file("/usr/local/lib/ollama/libggml-base.so");
    make(system);
    CHECK(system.target(kInstaller) == kGuestLibrary);
}

TEST_CASE("An empty directory is no ollama", "[link]") {
    MadeUp system;
    system.directory("/usr/lib/ollama");
    CHECK(silent(make(system)));
    CHECK_FALSE(system.has(kPackage));
    CHECK(system.has("/usr/lib/ollama"));
}

TEST_CASE("What somebody else put there stays", "[link]") {
    MadeUp system;
    system.file("/usr/lib/ollama/libggml-base.so");
    SECTION("a file") {
        system.file(kPackage, "NVIDIA's");
        CHECK_FALSE(good(make(system)));
        remove_all(system);
        CHECK(system.text(kPackage) == "NVIDIA's");
    }
    SECTION("a link, through which nothing is written") {
        system.file("/elsewhere", "NVIDIA's");
        system.link(kPackage, system.path("/elsewhere"));
        CHECK_FALSE(good(make(system)));
        remove_all(system);
        CHECK(system.target(kPackage) == system.path("/elsewhere"));
        CHECK(system.text("/elsewhere") == "NVIDIA's");
    }
    SECTION("a link that points nowhere") {
        system.link(kPackage, "/nowhere");
        CHECK_FALSE(good(make(system)));
        CHECK(system.target(kPackage) == "/nowhere");
    }
}

TEST_CASE("Nothing is written through a directory that is a link", "[link]") {
    MadeUp system;
    system.file("/opt/ollama/libggml-base.so");
    system.link("/usr/lib/ollama", system.path("/opt/ollama"));
    CHECK_FALSE(good(make(system)));
    CHECK_FALSE(system.has("/opt/ollama/libcuda.so.1"));
}

TEST_CASE("ollama's package leaves a directory with our link in it: both go", "[link]") {
    MadeUp system;
    system.file("/usr/lib/ollama/libggml-base.so");
    make(system);
    system.remove("/usr/lib/ollama/libggml-base.so");
    CHECK(good(make(system)));
    CHECK_FALSE(system.has("/usr/lib/ollama"));
    CHECK_FALSE(system.has(kLinkRecord));
}

TEST_CASE("The configuration's directories count instead of the usual ones", "[link]") {
    MadeUp system;
    system.file("/usr/lib/ollama/libggml-base.so");
    make(system);
    system.file("/opt/ai/lib/ollama/libggml-base.so");
    system.file(kOllamaConfig, "# ours\ndirectory = /opt/ai/lib/ollama\n");
    CHECK(good(make(system)));
    CHECK(system.target("/opt/ai/lib/ollama/libcuda.so.1") == kGuestLibrary);
    CHECK_FALSE(system.has(kPackage));
}

TEST_CASE("Lines of the configuration that mean nothing are told", "[link]") {
    MadeUp system;
    system.file(kOllamaConfig,
                "directory = lib/ollama\ndirectory = /a/../b\nservice = x\nuser =\nfolder = /x\n");
    const OllamaConfig config = read_ollama_config(system.root());
    CHECK(config.mistakes.size() == 5);
    CHECK(config.directories == OllamaConfig().directories);
    system.file(kOllamaConfig, "service = llm.service\n user=llm \n");
    CHECK(read_ollama_config(system.root()).service == "llm.service");
    CHECK(read_ollama_config(system.root()).user == "llm");
}

TEST_CASE("Removing leaves nothing of ours, and all of ollama's", "[link]") {
    MadeUp system;
    system.file("/usr/lib/ollama/libggml-base.so");
    system.file("/opt/ai/lib/ollama/libggml-base.so");
    system.file(kOllamaConfig, "directory = /opt/ai/lib/ollama\ndirectory = /usr/lib/ollama\n");
    make(system);
    // Whoever forgets a directory before he removes the package leaves nothing there either.
    system.remove(kOllamaConfig);
    CHECK(good(remove_all(system)));
    CHECK_FALSE(system.has("/opt/ai/lib/ollama/libcuda.so.1"));
    CHECK_FALSE(system.has(kPackage));
    CHECK(system.has("/usr/lib/ollama/libggml-base.so"));
    CHECK_FALSE(system.has("/var/lib/cubar"));
}
