// SPDX-License-Identifier: Apache-2.0
// Everything that nvcc makes of real programs must be read; the build names the files.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "test/unit/ptx/support.h"

using namespace cubar::softgpu::ptx;

TEST_CASE("nvcc's output is read whole") {
    const char* const list = std::getenv("PTX_FILES");
    REQUIRE(list != nullptr);
    std::istringstream paths(list);
    std::string path;
    unsigned files = 0;
    while (std::getline(paths, path, ':')) {
        INFO(path);
        std::ifstream file(path);
        REQUIRE(file.good());
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        Log log;
        const auto module = parse_module(text, log);
        CHECK(log.text == "");
        REQUIRE(module);
        CHECK(parse_bodies(*module, log));
        CHECK(log.text == "");
        std::size_t instructions = 0;
        for (const Function& function : module->functions) {
            if (function.body) instructions += function.body->code.size();
        }
        CHECK(instructions > 500);
        ++files;
    }
    CHECK(files >= 4);
}
