// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_RUNNER
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <iostream>
#include <string>

#include "host/worker/output_capture.h"

// The worker takes standard output and standard error over for what kernels print; the report keeps
// another descriptor, and so does what a sanitizer says.
int main(int count, char** words) {
    const std::string report = "/proc/self/fd/" + std::to_string(dup(STDOUT_FILENO));
    cubar::host::keep_log_apart();
    Catch::Session session;
    session.configData().outputFilename = report;
    return session.run(count, words);
}
