// SPDX-License-Identifier: Apache-2.0
// cubar-doctor(8): says, from the PCI device to the first answered call, what is wrong and how to
// mend it.
#include <cstdlib>
#include <cstring>

#include "guest/doctor/checks.h"
#include "guest/library_link.h"

namespace {

constexpr const char* kUsage =
    "usage: cubar-doctor [--json] [--library FILE] [--root DIR]\n"
    "Looks for what keeps ollama in this VM from its GPU, and says how to mend it.\n"
    "  --json          the findings as JSON\n"
    "  --library FILE  make the first calls with this libcuda.so.1 instead of the installed one\n"
    "  --root DIR      look at the files of the system below DIR, and make no calls\n"
    "Exits with 0 if ollama can use the GPU, 1 if something is wrong, 2 if called wrongly.\n";

}  // namespace

int main(int count, char** arguments) {
    cubar::tools::Root root;
    std::string library = cubar::tools::kGuestLibrary;
    bool json = false;
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(arguments[i], "--json") == 0) {
            json = true;
        } else if (std::strcmp(arguments[i], "--root") == 0 && i + 1 < count) {
            root.directory = arguments[++i];
        } else if (std::strcmp(arguments[i], "--library") == 0 && i + 1 < count) {
            library = arguments[++i];
        } else if (std::strcmp(arguments[i], "--help") == 0) {
            std::fputs(kUsage, stdout);
            return 0;
        } else if (std::strcmp(arguments[i], "--version") == 0) {
            std::puts("cubar-doctor " CUBAR_VERSION);
            return 0;
        } else {
            std::fputs(kUsage, stderr);
            return 2;
        }
    }
    cubar::tools::Report report;
    std::string selection;
    if (const char* named = std::getenv("CUBAR_DEVICE");
        named != nullptr && *named != '\0' && !root.made_up()) {
        selection = named;
        report.note("device",
                    "CUBAR_DEVICE names " + selection + ": the PCI device is not looked at",
                    "unset CUBAR_DEVICE to look at it");
    } else {
        selection = check_device(root, report);
    }
    const cubar::tools::OllamaConfig config = cubar::tools::read_ollama_config(root);
    check_libraries(root, config, report);
    check_service(root, config, report);
    if (root.made_up()) {
        report.skipped("first call", "not made: this is not the running system");
    } else if (selection.empty()) {
        report.skipped("first call", "not made: there is no device to use");
    } else {
        cubar::tools::check_calls(selection, library, report);
    }
    json ? report.print_json(stdout) : report.print(stdout);
    return report.all_well() ? 0 : 1;
}
