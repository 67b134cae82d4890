// SPDX-License-Identifier: Apache-2.0
// cubar-smi(8): the GPUs of this guest, as nvidia-smi shows those of a machine.
#include <cstdio>
#include <string>
#include <string_view>

#include "nvml/functions.h"
#include "nvml/smi/card.h"

namespace cubar::smi {
namespace {

constexpr const char* kUsage =
    "usage: cubar-smi [-L | --list-gpus | --json]\n"
    "       cubar-smi --query-gpu=FIELD,... --format=csv[,noheader][,nounits]\n"
    "       cubar-smi --help-query-gpu\n"
    "Shows this machine's GPUs, their memory and who uses it. N/A: the host does not tell.\n"
    "CUBAR_DEVICE names the device, as for libcuda.so.1.\n";

constexpr int kFailed = 1;
constexpr int kMisused = 2;

enum class Form { kTable, kList, kJson, kCsv };

struct Options {
    Form form = Form::kTable;
    std::string fields;
    bool csv = false;
    CsvStyle style;
};

int misused(const std::string& why) {
    std::fprintf(stderr, "cubar-smi: %s\n%s", why.c_str(), kUsage);
    return kMisused;
}

/// "csv", "csv,noheader" and so on.
bool parse_format(std::string_view text, Options& options) {
    while (!text.empty()) {
        const std::size_t comma = text.find(',');
        const std::string_view word = text.substr(0, comma);
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
        if (word == "csv") {
            options.csv = true;
        } else if (word == "noheader") {
            options.style.header = false;
        } else if (word == "nounits") {
            options.style.units = false;
        } else {
            return false;
        }
    }
    return options.csv;
}

/// What went wrong, or an empty string.
std::string parse(int count, char** arguments, Options& options) {
    constexpr std::string_view kQuery = "--query-gpu=";
    constexpr std::string_view kFormat = "--format=";
    for (int i = 1; i < count; ++i) {
        const std::string_view word = arguments[i];
        if (word == "-L" || word == "--list-gpus") {
            options.form = Form::kList;
        } else if (word == "--json") {
            options.form = Form::kJson;
        } else if (word.starts_with(kQuery)) {
            options.form = Form::kCsv;
            options.fields = word.substr(kQuery.size());
        } else if (!word.starts_with(kFormat) ||
                   !parse_format(word.substr(kFormat.size()), options)) {
            return std::string(word) + " is not known";
        }
    }
    if (options.csv != (options.form == Form::kCsv)) {
        return "--query-gpu and --format=csv go together";
    }
    return {};
}

int failed(const std::string& why) {
    std::fprintf(stderr,
                 "cubar-smi: %s\nCUBAR_LOG=stderr says more; cubar-doctor looks at everything from "
                 "the PCI device to the first call.\n",
                 why.c_str());
    return kFailed;
}

int run(const Options& options) {
    using nvml::Return;
    if (const Return error = nvml::nvmlInit_v2(); error != Return::kSuccess) {
        return failed(std::string("no GPU of cubar's can be used here: ") +
                      nvml::nvmlErrorString(error) +
                      ". Is the VM's device there, and does cubard "
                      "run on the host?");
    }
    Machine machine;
    const auto problem = gather(machine);
    nvml::nvmlShutdown();
    if (problem) {
        return failed(*problem);
    }
    std::string text;
    switch (options.form) {
        case Form::kTable:
            text = as_table(machine);
            break;
        case Form::kList:
            text = as_list(machine);
            break;
        case Form::kJson:
            text = as_json(machine);
            break;
        case Form::kCsv: {
            std::string wrong;
            const auto csv = as_csv(machine, options.fields, options.style, wrong);
            if (!csv) {
                return misused("there is no field '" + wrong + "'; --help-query-gpu lists them");
            }
            text = *csv;
            break;
        }
    }
    return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? 0 : kFailed;
}

}  // namespace
}  // namespace cubar::smi

int main(int count, char** arguments) {
    using namespace cubar::smi;
    if (count == 2) {
        const std::string_view word = arguments[1];
        if (word == "--help" || word == "-h") {
            std::fputs(kUsage, stdout);
            return 0;
        }
        if (word == "--version") {
            std::puts("cubar-smi " CUBAR_VERSION);
            return 0;
        }
        if (word == "--help-query-gpu") {
            std::fputs(csv_fields().c_str(), stdout);
            return 0;
        }
    }
    Options options;
    if (const std::string wrong = parse(count, arguments, options); !wrong.empty()) {
        return misused(wrong);
    }
    return run(options);
}
