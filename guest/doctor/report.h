// SPDX-License-Identifier: Apache-2.0
// What the doctor found: one line for each check, with what to do about it.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace cubar::tools {

enum class Health {
    kGood,
    kNote,     ///< works, but not as well as it could
    kBad,      ///< ollama has no GPU until this is mended
    kSkipped,  ///< could not be looked at; `says` tells why
};

struct Finding {
    std::string check;
    Health health;
    std::string says;
    std::string mend;  ///< what to do; empty where nothing is to be done
};

class Report {
public:
    void good(const char* check, std::string says) { add(check, Health::kGood, says, {}); }
    void note(const char* check, std::string says, std::string mend) {
        add(check, Health::kNote, says, mend);
    }
    void bad(const char* check, std::string says, std::string mend) {
        add(check, Health::kBad, says, mend);
    }
    void skipped(const char* check, std::string says) { add(check, Health::kSkipped, says, {}); }

    bool all_well() const;
    const std::vector<Finding>& findings() const { return findings_; }

    void print(std::FILE* out) const;
    void print_json(std::FILE* out) const;

private:
    void add(const char* check, Health health, const std::string& says, const std::string& mend) {
        findings_.push_back({check, health, says, mend});
    }

    std::vector<Finding> findings_;
};

}  // namespace cubar::tools
