// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llama_test {

struct Options {
    std::string libraries;
    std::string model;
    bool cuda = false;
    uint32_t tokens = 16;
    uint32_t prompt_length = 40;
    uint32_t batch = 512;
    uint32_t context = 256;
    uint32_t sequences = 1;
    uint32_t requests = 1;
    bool flash = true;
    bool kv_q8_0 = false;
    bool text = false;
    bool verbose = false;
    bool count = false;
    std::string logits;
    std::vector<int32_t> follow;
};

/// Ends the program with a message if an argument is wrong.
Options parse(int argc, char** argv);

}  // namespace llama_test
