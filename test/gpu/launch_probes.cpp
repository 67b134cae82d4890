// SPDX-License-Identifier: Apache-2.0
// Launches: what is refused at once and with which error, and how parameters are described.
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

// The runtime's cudaErrorInvalidConfiguration; cuda.h has no name for it.
constexpr auto kInvalidConfiguration = static_cast<CUresult>(9);

struct Library {
    CUlibrary handle = nullptr;

    Library() {
        MUST(cu().cuLibraryLoadData(&handle, kernels_ptx(), nullptr, nullptr, 0, nullptr, nullptr,
                                    0));
    }
    CUfunction kernel(const char* name) const {
        CUkernel kernel = nullptr;
        MUST(cu().cuLibraryGetKernel(&kernel, handle, name));
        return reinterpret_cast<CUfunction>(kernel);
    }
};

CUresult launch_shape(CUfunction function, std::array<unsigned, 3> grid,
                      std::array<unsigned, 3> block, unsigned shared = 0) {
    return cu().cuLaunchKernel(function, grid[0], grid[1], grid[2], block[0], block[1], block[2],
                               shared, nullptr, nullptr, nullptr);
}

void dimensions(Report& report) {
    const Context context;
    const Kernels kernels;
    const Library library;
    struct Shape {
        const char* name;
        std::array<unsigned, 3> grid, block;
    };
    constexpr std::array<unsigned, 3> kOne{1, 1, 1};
    for (const Shape& shape :
         {Shape{"an empty grid", {0, 1, 1}, kOne}, Shape{"an empty block", kOne, {1, 0, 1}},
          Shape{"a grid of 65536 rows", {1, 65536, 1}, kOne},
          Shape{"a block of 128 layers", kOne, {1, 1, 128}},
          Shape{"a block of 2048", kOne, {2048, 1, 1}}}) {
        const CUresult function = launch_shape(kernels.get("bounded"), shape.grid, shape.block);
        const CUresult kernel = launch_shape(library.kernel("bounded"), shape.grid, shape.block);
        report.expect(function == CUDA_ERROR_INVALID_VALUE,
                      std::string(shape.name) + ": by CUfunction " + name_of(function));
        report.expect(kernel == kInvalidConfiguration, "by CUkernel " + name_of(kernel));
    }
    const CUresult after = cu().cuCtxSynchronize();
    report.expect(after == CUDA_SUCCESS, "nothing sticks: " + name_of(after));
}

void resources(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUfunction bounded = kernels.get("bounded");
    const CUresult bounds = launch_shape(bounded, {1, 1, 1}, {128, 1, 1});
    report.expect(
        bounds == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES || bounds == CUDA_ERROR_INVALID_VALUE,
        "128 threads with launch bounds of 64: " + name_of(bounds));
    report.expect(bounds == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "which is 701");
    const CUresult shared = launch_shape(bounded, {1, 1, 1}, {1, 1, 1}, 1u << 20);
    report.expect(shared == CUDA_ERROR_INVALID_VALUE, "1 MiB of shared memory: " + name_of(shared));
    const CUresult nothing = launch_shape(nullptr, {1, 1, 1}, {1, 1, 1});
    report.expect(nothing == CUDA_ERROR_INVALID_HANDLE, "no function: " + name_of(nothing));
}

void by_kernel(Report& report) {
    const Context context;
    const Library library;
    const CUfunction fill = library.kernel("fill");
    const CUdeviceptr words = allocate(16);
    const CUresult launched = launch(fill, nullptr, 1, words, 1u, 21u);
    std::uint32_t got = 0;
    MUST(cu().cuMemcpyDtoH(&got, words, sizeof got));
    report.expect(launched == CUDA_SUCCESS && got == 21,
                  "a CUkernel as CUfunction: " + name_of(launched));
    struct {
        CUdeviceptr words;
        std::uint32_t count, value;
    } parameters{words, 1, 22};
    std::size_t bytes = sizeof parameters;
    void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &parameters, CU_LAUNCH_PARAM_BUFFER_SIZE,
                     &bytes, CU_LAUNCH_PARAM_END};
    const CUresult packed = cu().cuLaunchKernel(fill, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra);
    MUST(cu().cuMemcpyDtoH(&got, words, sizeof got));
    report.expect(packed == CUDA_SUCCESS && got == 22,
                  "with its parameters in a buffer: " + name_of(packed));
}

void parameters(Report& report) {
    const Context context;
    const Kernels kernels;
    const Library library;
    constexpr std::array<std::size_t, 4> kOffsets{0, 8, 16, 32}, kSizes{1, 8, 2, 20};
    const auto kernel = reinterpret_cast<CUkernel>(library.kernel("mixed"));
    for (std::size_t i = 0; i < kOffsets.size(); ++i) {
        std::size_t offset = 0, size = 0, kernel_offset = 0, kernel_size = 0;
        MUST(cu().cuFuncGetParamInfo(kernels.get("mixed"), i, &offset, &size));
        MUST(cu().cuKernelGetParamInfo(kernel, i, &kernel_offset, &kernel_size));
        report.expect(offset == kOffsets[i] && size == kSizes[i] && kernel_offset == offset &&
                          kernel_size == size,
                      number(size) + " B at " + number(offset));
    }
    std::size_t offset = 0, size = 0;
    const CUresult end = cu().cuFuncGetParamInfo(kernels.get("mixed"), 4, &offset, &size);
    report.expect(end == CUDA_ERROR_INVALID_VALUE, "after the last: " + name_of(end));
}

void image_is_copied(Report& report) {
    const Context context;
    std::string image = kernels_ptx();
    CUlibrary library = nullptr;
    MUST(cu().cuLibraryLoadData(&library, image.c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0));
    image.assign(image.size(), ' ');
    CUkernel kernel = nullptr;
    MUST(cu().cuLibraryGetKernel(&kernel, library, "fill"));
    const CUdeviceptr word = allocate(4);
    MUST(launch(reinterpret_cast<CUfunction>(kernel), nullptr, 1, word, 1u, 31u));
    std::uint32_t got = 0;
    MUST(cu().cuMemcpyDtoH(&got, word, sizeof got));
    report.expect(got == 31, "a kernel of an image overwritten after its load");
}

constexpr Probe kProbes[] = {
    {"impossible_dimensions", Asked::kEverywhere,
     "impossible dimensions are refused at once: 1 for a CUfunction, 9 for a CUkernel",
     "limits of grid, block and shared memory are checked in the guest, so that the caller gets "
     "CUDA's own synchronous errors",
     dimensions},
    {"too_many_resources", Asked::kEverywhere,
     "too much shared memory is 1, more threads than the launch bounds 701, no function 400",
     "limits of grid, block and shared memory are checked in the guest", resources},
    {"launch_by_kernel", Asked::kEverywhere,
     "cuLaunchKernel takes a CUkernel, and parameters in a buffer",
     "async: one record, no answer (launches, ...)", by_kernel},
    {"parameter_layout", Asked::kEverywhere,
     "cuFuncGetParamInfo and cuKernelGetParamInfo tell each parameter",
     "The host returns a kernel's parameter layout with the kernel", parameters},
    {"image_is_copied", Asked::kEverywhere, "a library's image is not read after its load",
     "Module images are sent once per content and VM.", image_is_copied},
};

}  // namespace

std::span<const Probe> launch_probes() {
    return kProbes;
}

}  // namespace cubar::probe
