// SPDX-License-Identifier: Apache-2.0
// cubar-reap(8): has the channels of dead processes released. While a program of cubar's runs it
// does so itself; this is for the moment when the last one was killed.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "guest/device_grant.h"
#include "transport/claim.h"

namespace {

using cubar::transport::Error;

constexpr const char* kUsage =
    "usage: cubar-reap\n"
    "Asks the host to release what processes of this machine held when they died.\n"
    "CUBAR_DEVICE names one device, as for libcuda.so.1.\n";

/// What CUBAR_DEVICE names, or every device of this machine.
std::vector<std::string> selections() {
    if (const char* named = std::getenv("CUBAR_DEVICE"); named != nullptr && *named != '\0') {
        return {named};
    }
    std::vector<std::string> all;
    for (const std::string& device : cubar::tools::ivshmem_devices({})) {
        all.push_back("pci:" + device.substr(device.rfind('/') + 1));
    }
    return all;
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 2 && std::strcmp(arguments[1], "--version") == 0) {
        std::puts("cubar-reap " CUBAR_VERSION);
        return 0;
    }
    if (count != 1) {
        const bool help = count == 2 && std::strcmp(arguments[1], "--help") == 0;
        std::fputs(kUsage, help ? stdout : stderr);
        return help ? 0 : 2;
    }
    bool good = true;
    for (const std::string& selection : selections()) {
        auto device = cubar::transport::open_device(selection.c_str());
        if (!device && device.failure().error == Error::kNotOurs) {
            continue;
        }
        if (!device) {
            std::fprintf(stderr, "cubar-reap: %s: %s\n", describe(device.failure().error),
                         device.failure().detail);
            good = false;
            continue;
        }
        const unsigned released = cubar::transport::reap_orphans(**device, cubar::kMaxChannels,
                                                                 cubar::transport::read_boot_id());
        if (released != 0) {
            std::printf("cubar-reap: %s: %u channels of dead processes are released\n",
                        (*device)->name(), released);
        }
    }
    return good ? 0 : 1;
}
