// SPDX-License-Identifier: Apache-2.0
// What kernels print: when it comes, and where.
#include <unistd.h>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

void printf_at_synchronisation(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUfunction print = kernels.get("print");
    const Pinned word(4);
    std::string before, after;
    bool ran = false;
    CUresult synchronised = CUDA_SUCCESS;
    {
        const Captured output(STDOUT_FILENO);
        MUST(launch(print, nullptr, 1, word.device()));
        ran = comes_true(
            [&] { return word.word().load() == 1 && cu().cuStreamQuery(nullptr) == CUDA_SUCCESS; });
        before = output.text();
        synchronised = cu().cuCtxSynchronize();
        after = output.text();
    }
    report.expect(ran, "the kernel ran");
    report.expect(before.empty(), before.empty() ? "nothing is on stdout until then"
                                                 : "stdout had it before: " + before);
    report.expect(synchronised == CUDA_SUCCESS && after == "printed by 7",
                  "after cuCtxSynchronize: \"" + after + "\"");
}

void printf_at_stream(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned word(4);
    std::string text;
    {
        const Captured output(STDOUT_FILENO);
        MUST(launch(kernels.get("print"), stream, 1, word.device()));
        MUST(cu().cuStreamSynchronize(stream));
        text = output.text();
    }
    report.expect(text == "printed by 7", "after cuStreamSynchronize: \"" + text + "\"");
}

void failed_assert(Report& report) {
    const Context context;
    const Kernels kernels;
    std::string text;
    CUresult result = CUDA_SUCCESS;
    {
        const Captured output(STDERR_FILENO);
        MUST(launch(kernels.get("failed_assert"), nullptr, 1));
        result = cu().cuCtxSynchronize();
        text = output.text();
    }
    report.expect(result == CUDA_ERROR_ASSERT, "cuCtxSynchronize: " + name_of(result));
    report.expect(text.find("probe.cu:42") != std::string::npos &&
                      text.find("four == 5!") != std::string::npos &&
                      text.find("block: [0,0,0], thread: [0,0,0] Assertion") != std::string::npos,
                  "stderr: \"" + text.substr(0, text.find('\n')) + "\"");
}

constexpr Probe kProbes[] = {
    {"printf_at_synchronisation", Asked::kHost,
     "what a kernel prints comes at synchronisation and not before",
     "kernels that print are synchronised on the host", printf_at_synchronisation},
    {"printf_at_stream_synchronisation", Asked::kEverywhere, "a stream's synchronisation is one",
     "kernels that print are synchronised on the host", printf_at_stream},
    {"assert_text", Asked::kEverywhere, "a failed assert is named on stderr and gives error 710",
     "kernels that print are synchronised on the host", failed_assert},
};

}  // namespace

std::span<const Probe> output_probes() {
    return kProbes;
}

}  // namespace cubar::probe
