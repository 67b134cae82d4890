// SPDX-License-Identifier: Apache-2.0
// Images that cannot be loaded: what is wrong decides the error, the JIT log names line and reason.
#include <cstdint>
#include <string>

#include "driver_api.h"

namespace {

constexpr std::string_view kPtx = conformance::kScalePtx;

std::string replaced(std::string_view from, std::string_view to) {
    std::string text(kPtx);
    const std::size_t at = text.find(from);
    CHECK(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

std::size_t line_of(std::string_view text, std::string_view what) {
    return 1 +
           static_cast<std::size_t>(std::count(text.begin(), text.begin() + text.find(what), '\n'));
}

/// Loads corrupt PTX and expects the log to name this line.
void expect_line_in_log(const char* name, const std::string& ptx, std::size_t line) {
    char errors[4096] = {};
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {errors, reinterpret_cast<void*>(std::uintptr_t{sizeof errors})};
    CUmodule module;
    DRIVER_FAILS(cuModuleLoadDataEx(&module, ptx.c_str(), 2, options, values),
                 CUDA_ERROR_INVALID_PTX);
    const std::string wanted = "line " + std::to_string(line);
    const std::size_t found = std::string_view(errors).find(wanted);
    const char after = found == std::string_view::npos ? '0' : errors[found + wanted.size()];
    if (after >= '0' && after <= '9')
        conformance::fail(__FILE__, __LINE__, "%s: the log does not name %s: %s", name,
                          wanted.c_str(), errors);
    std::printf("%s: %s is in the log\n", name, wanted.c_str());
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    CUmodule module;

    auto ptx = replaced("mad.lo.u32", "mad.low.u32");
    expect_line_in_log("unknown modifier", ptx, line_of(ptx, "mad.low.u32"));
    ptx = replaced("st.global.u32 [%rd4]", "stow.global.u32 [%rd4]");
    expect_line_in_log("unknown instruction", ptx, line_of(ptx, "stow"));
    ptx = replaced("mul.wide.u32 %rd5, %r8, 4", "mul.wide.u32 %rd5, %other, 4");
    expect_line_in_log("undeclared register", ptx, line_of(ptx, "%other"));
    ptx = replaced("@%p1 bra done;", "@%p1 bra nowhere;");
    expect_line_in_log("undeclared label", ptx, line_of(ptx, "nowhere"));
    ptx = replaced("add.s64 %rd4, %rd2, %rd3;", "add.s64 %rd4, %rd2 %rd3;");
    expect_line_in_log("missing comma", ptx, line_of(ptx, "%rd2 %rd3"));

    ptx = std::string(kPtx.substr(0, kPtx.find("st.global")));
    DRIVER_FAILS(cuModuleLoadData(&module, ptx.c_str()), CUDA_ERROR_INVALID_PTX);
    ptx = replaced(".version 7.5", ".version 99.9");
    DRIVER_FAILS(cuModuleLoadData(&module, ptx.c_str()), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    ptx = replaced(".target sm_75", ".target sm_121");
    DRIVER_FAILS_WITH_ONE_OF(cuModuleLoadData(&module, ptx.c_str()), CUDA_ERROR_INVALID_PTX,
                             CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    std::printf("PTX\n");

    // An ELF header and nothing that it promises; a fat binary without entries; neither of them.
    std::vector<unsigned char> image(4096);
    std::memcpy(image.data(), "\177ELF\2\1\1", 7);
    DRIVER_FAILS_WITH_ONE_OF(cuModuleLoadData(&module, image.data()), CUDA_ERROR_INVALID_IMAGE,
                             CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_INVALID_SOURCE);
    std::fill(image.begin(), image.end(), 0);
    const unsigned char fatbin[] = {0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0};
    std::memcpy(image.data(), fatbin, sizeof fatbin);
    DRIVER_FAILS_WITH_ONE_OF(cuModuleLoadData(&module, image.data()), CUDA_ERROR_INVALID_IMAGE,
                             CUDA_ERROR_NO_BINARY_FOR_GPU);
    std::fill(image.begin(), image.end(), 0);
    DRIVER_FAILS_WITH_ONE_OF(cuModuleLoadData(&module, image.data()), CUDA_ERROR_INVALID_IMAGE,
                             CUDA_ERROR_INVALID_PTX);
    DRIVER_FAILS_WITH_ONE_OF(cuModuleLoadData(&module, "this is no program"),
                             CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_PTX);
    DRIVER_FAILS(cuModuleLoadData(&module, nullptr), CUDA_ERROR_INVALID_VALUE);
    CUlibrary library;
    DRIVER_FAILS_WITH_ONE_OF(
        cuLibraryLoadData(&library, "this is no program", nullptr, nullptr, 0, nullptr, nullptr, 0),
        CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_PTX);
    std::printf("images\n");

    // None of it was sticky.
    DRIVER(cuModuleLoadData(&module, conformance::kScalePtx));
    DRIVER(cuModuleUnload(module));
    DRIVER(cuCtxSynchronize());
    return 0;
}
