// SPDX-License-Identifier: Apache-2.0
// What cubar-smi knows of the GPUs, and the ways in which it tells.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nvml/abi.h"

namespace cubar::smi {

struct Process {
    unsigned pid;
    std::string name;  ///< empty: not of this namespace, or gone
    unsigned long long bytes;
};

/// What the host does not tell is empty.
struct Card {
    unsigned index = 0;
    std::string name;
    std::string uuid;
    std::string bus_id;
    std::optional<std::string> serial;
    std::string capability;
    unsigned long long memory_total = 0;
    unsigned long long memory_used = 0;
    unsigned long long memory_free = 0;
    std::optional<unsigned> gpu_utilisation;
    std::optional<unsigned> memory_utilisation;
    std::optional<unsigned> temperature;
    std::optional<unsigned> fan;
    std::optional<unsigned> performance_state;
    std::optional<unsigned> power;        ///< milliwatts
    std::optional<unsigned> power_limit;  ///< milliwatts
    std::optional<unsigned> sm_clock;     ///< MHz
    std::optional<unsigned> memory_clock;
    std::optional<bool> ecc;
    std::optional<bool> mig;
    std::vector<Process> processes;
};

struct Machine {
    std::string driver;
    std::string cuda;
    std::vector<Card> cards;
};

/// Asks NVML, which is initialised. What failed, with the function that did, or nothing.
std::optional<std::string> gather(Machine& machine);

std::string as_list(const Machine& machine);
std::string as_table(const Machine& machine);
std::string as_json(const Machine& machine);

/// How --query-gpu's answer is written.
struct CsvStyle {
    bool header = true;
    bool units = true;
};
/// The fields of `list` (name,memory.used,…) of each card; nothing where one is unknown, whose name
/// is then in `wrong`.
std::optional<std::string> as_csv(const Machine& machine, std::string_view list,
                                  const CsvStyle& style, std::string& wrong);
/// All that --query-gpu knows, one a line.
std::string csv_fields();

}  // namespace cubar::smi
