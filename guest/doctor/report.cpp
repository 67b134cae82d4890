// SPDX-License-Identifier: Apache-2.0
#include "guest/doctor/report.h"

#include <algorithm>

namespace cubar::tools {

namespace {

const char* word(Health health) {
    switch (health) {
        case Health::kGood:
            return "good";
        case Health::kNote:
            return "note";
        case Health::kBad:
            return "bad";
        case Health::kSkipped:
            return "skipped";
    }
    return "?";
}

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            result += '\\';
            result += letter;
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(letter));
            result += escape;
        } else {
            result += letter;
        }
    }
    return result + "\"";
}

}  // namespace

bool Report::all_well() const {
    return std::none_of(findings_.begin(), findings_.end(),
                        [](const Finding& finding) { return finding.health == Health::kBad; });
}

void Report::print(std::FILE* out) const {
    for (const Finding& finding : findings_) {
        std::fprintf(out, "%-8s%s: %s\n", word(finding.health), finding.check.c_str(),
                     finding.says.c_str());
        if (!finding.mend.empty()) {
            std::fprintf(out, "        -> %s\n", finding.mend.c_str());
        }
    }
}

void Report::print_json(std::FILE* out) const {
    std::fprintf(out, "{\"version\": \"%s\", \"all_well\": %s, \"findings\": [", CUBAR_VERSION,
                 all_well() ? "true" : "false");
    const char* separator = "\n";
    for (const Finding& finding : findings_) {
        std::fprintf(out, "%s  {\"check\": %s, \"health\": \"%s\", \"says\": %s, \"mend\": %s}",
                     separator, quoted(finding.check).c_str(), word(finding.health),
                     quoted(finding.says).c_str(), quoted(finding.mend).c_str());
        separator = ",\n";
    }
    std::fputs("\n]}\n", out);
}

}  // namespace cubar::tools
