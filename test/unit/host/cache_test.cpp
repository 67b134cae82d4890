// SPDX-License-Identifier: Apache-2.0
// The compile cache: what lies below a VM's directory is a worker's, and is not trusted.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "host/cubard/cache_directory.h"
#include "host/cubard/compile_cache.h"
#include "host/cubard/worker_uids.h"

namespace cubar::host {
namespace {

namespace fs = std::filesystem;
using transport::Descriptor;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

/// An empty directory, gone with the test.
class Directory {
public:
    Directory() { REQUIRE(::mkdtemp(name_.data()) != nullptr); }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() {
        // Deeper than a path may be: only the code under test removes such a tree.
        std::error_code ignored;
        fs::remove_all(name_, ignored);
    }
    const std::string& name() const { return name_; }
    fs::path path() const { return name_; }

private:
    std::string name_ = (fs::temp_directory_path() / "cubar-cache-XXXXXX").string();
};

void write_file(const fs::path& path, std::uint64_t bytes) {
    const std::string block(kMiB, 'x');
    std::ofstream file(path, std::ios::binary);
    for (std::uint64_t done = 0; done < bytes; done += kMiB) {
        file.write(block.data(), static_cast<std::streamsize>(std::min(bytes - done, kMiB)));
    }
    REQUIRE(file.flush());
}

/// Directories in one another, deeper than any path can name.
void nest(const fs::path& top, int depth) {
    Descriptor place(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < depth; ++i) {
        REQUIRE(::mkdirat(place.get(), "d", 0700) == 0);
        place = Descriptor(::openat(place.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        REQUIRE(place);
    }
    const Descriptor file(::openat(place.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(file);
}

std::string refusal(const std::string& path) {
    try {
        const CacheRoot root(path);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

TEST_CASE("a root is made and known again; what is somebody else's is refused and left alone") {
    const Directory there;
    const fs::path made = there.path() / "made";
    CHECK(refusal(made).empty());
    CHECK(fs::exists(made / "CACHEDIR.TAG"));
    CHECK(refusal(made).empty());

    const fs::path foreign = there.path() / "foreign";
    fs::create_directories(foreign / "vm");
    write_file(foreign / "vm" / "thesis.tex", 10);
    CHECK_THAT(refusal(foreign), Catch::Contains("holds files that are not cubard's"));
    CHECK_THROWS(CacheRoot::check(foreign));
    CHECK(fs::exists(foreign / "vm" / "thesis.tex"));
    CHECK_FALSE(fs::exists(foreign / "CACHEDIR.TAG"));

    std::ofstream(foreign / "CACHEDIR.TAG")
        << "Signature: 8a477f597d28d172789f06886806bc55\n# mine";
    CHECK_THAT(refusal(foreign), Catch::Contains("not cubard's"));
    CHECK_THAT(refusal(there.path() / "no" / "such"), Catch::Contains("No such file"));
}

TEST_CASE("bytes on disk are counted, holes are not") {
    const Directory there;
    const CacheRoot root(there.name());
    const CacheDirectory cache = root.open("vm", ::geteuid());
    const fs::path inside = there.path() / "vm";
    CHECK(cache.bytes() == 0);
    fs::create_directories(inside / "0" / "a");
    write_file(inside / "0" / "a" / "kernel", 3 * kMiB);
    std::ofstream(inside / "index") << "";
    fs::resize_file(inside / "index", 100 * kMiB);
    REQUIRE(cache.bytes());
    CHECK(*cache.bytes() >= 3 * kMiB);
    CHECK(*cache.bytes() < 4 * kMiB);
}

TEST_CASE("what no driver makes is not followed without end, and yet removed") {
    const Directory there;
    const CacheRoot root(there.name());
    CacheDirectory cache = root.open("vm", ::geteuid());
    const fs::path inside = there.path() / "vm";
    const fs::path outside = there.path() / "outside";
    write_file(outside, 10);
    SECTION("deep") {
        nest(inside, 3000);
        CHECK_FALSE(cache.bytes());
    }
    SECTION("many") {
        for (std::size_t i = 0; i <= CacheDirectory::kMaxEntries; ++i) {
            REQUIRE(::mknod((inside / std::to_string(i)).c_str(), S_IFREG | 0600, 0) == 0);
        }
        CHECK_FALSE(cache.bytes());
    }
    SECTION("links") {
        fs::create_symlink(there.path(), inside / "up");
        fs::create_symlink(outside, inside / "file");
        fs::create_directories(inside / "a" / "b");
        fs::create_symlink(there.path(), inside / "a" / "b" / "up");
        REQUIRE(cache.bytes());
        CHECK(*cache.bytes() < kMiB);
    }
    SECTION("names that removal itself uses") {
        fs::create_directories(inside / "a" / "b" / "c");
        fs::create_directories(inside / "cleared.0" / "x" / "y");
        write_file(inside / "cleared.1", 1);
    }
    CacheDirectory::Cleared cleared{};
    int turns = 0;
    do {
        cleared = cache.clear(1000);
        REQUIRE(++turns < 1000);
    } while (cleared == CacheDirectory::Cleared::kNotYet);
    CHECK(cleared == CacheDirectory::Cleared::kAll);
    CHECK(fs::is_empty(inside));
    CHECK(fs::file_size(outside) == 10);
}

TEST_CASE("a directory that belonged to another is emptied before it is handed on") {
    const Directory there;
    const CacheRoot root(there.name());
    if (::geteuid() != 0) {
        CHECK_THROWS_WITH(root.open("vm", 70001), Catch::Contains("not permitted"));
        return;
    }
    root.open("vm", 70001);
    write_file(there.path() / "vm" / "kernel", 10);
    CHECK(root.owners() == std::map<std::string, uid_t>{{"vm", 70001}});
    root.open("vm", 70001);
    CHECK(fs::exists(there.path() / "vm" / "kernel"));
    root.open("vm", 70002);
    CHECK_FALSE(fs::exists(there.path() / "vm" / "kernel"));
    CHECK(root.owners() == std::map<std::string, uid_t>{{"vm", 70002}});
    root.remove("vm");
    CHECK(root.owners().empty());
}

TEST_CASE("a VM keeps the user that its cache belongs to") {
    const auto vm = [](const char* name) {
        VmConfig config;
        config.name = name;
        return config;
    };
    using Slots = std::map<std::string, std::uint32_t>;
    const std::vector<VmConfig> vms{vm("a"), vm("b"), vm("c")};
    CHECK(assign_uid_slots(vms, 1000, {}) == Slots{{"a", 1}, {"b", 2}, {"c", 3}});
    CHECK(assign_uid_slots(vms, 1000, {{"c", 1001}, {"gone", 1002}}) ==
          Slots{{"a", 2}, {"b", 3}, {"c", 1}});
    // Neither the probes' user, nor one out of range, nor one for two.
    CHECK(assign_uid_slots(vms, 1000, {{"a", 1000}, {"b", 999}, {"c", 1000 + 65536}}) ==
          Slots{{"a", 1}, {"b", 2}, {"c", 3}});
    CHECK(assign_uid_slots(vms, 1000, {{"a", 1002}, {"b", 1002}}) ==
          Slots{{"a", 2}, {"b", 1}, {"c", 3}});
}

/// A cache of 16 MiB in a loop that runs until something holds.
struct Watched {
    Watched() { fs::permissions(there.path(), fs::perms::owner_all); }

    template <typename Test>
    bool until(Test test) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        while (!test() && std::chrono::steady_clock::now() < end) {
            loop.step(std::chrono::milliseconds{100});
        }
        return test();
    }

    Directory there;
    EventLoop loop;
    CacheRoot root{there.name()};
    int beyond = 0;
    CompileCache cache{loop, root, "vm", ::geteuid(), 16 * kMiB, [this] { ++beyond; }};
    fs::path inside = there.path() / "vm";
};

TEST_CASE("a worker that fills the cache beyond its limit loses it, and all that is in it") {
    Watched test;
    CHECK(test.cache.driver_limit() == 8 * kMiB);
    std::optional<CompileCache::User> first = test.cache.use();
    std::optional<CompileCache::User> second = test.cache.use();
    REQUIRE((first && second));
    write_file(test.inside / "kernel", 16 * kMiB);
    CHECK(test.until([&] { return test.beyond != 0; }));
    CHECK_FALSE(test.cache.use());
    first.reset();
    CHECK(fs::exists(test.inside / "kernel"));  // somebody writes still
    second.reset();
    CHECK(test.until([&] { return fs::is_empty(test.inside); }));
    CHECK(test.until([&] { return test.cache.use().has_value(); }));
    CHECK(test.beyond == 1);
}

TEST_CASE("what the driver may keep stays, and more goes when nobody uses it") {
    Watched test;
    {
        const auto user = test.cache.use();
        write_file(test.inside / "kernel", 7 * kMiB);
    }
    CHECK(test.cache.use());
    CHECK(fs::exists(test.inside / "kernel"));
    {
        const auto user = test.cache.use();
        write_file(test.inside / "more", 2 * kMiB);
    }
    CHECK_FALSE(test.cache.use());
    CHECK(test.until([&] { return test.cache.use().has_value(); }));
    CHECK(fs::is_empty(test.inside));
    CHECK(test.beyond == 0);
}

TEST_CASE("a cache of an earlier cubard that is too large is emptied, a lost one made again") {
    Watched test;
    write_file(test.inside / "kernel", 9 * kMiB);
    CompileCache again(test.loop, test.root, "vm", ::geteuid(), 16 * kMiB, [] {});
    CHECK_FALSE(again.use());
    CHECK(test.until([&] { return again.use().has_value(); }));
    fs::remove_all(test.inside);
    CHECK(again.use());
    CHECK(fs::is_directory(test.inside));
}

}  // namespace
}  // namespace cubar::host
