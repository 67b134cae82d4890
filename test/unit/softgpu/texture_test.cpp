// SPDX-License-Identifier: Apache-2.0
// Texture and surface instructions that nvcc does not make of CUDA's own functions, and what
// instructions do with handles that name nothing.
#include <string>
#include <vector>

#include "device_fixture.h"

namespace {

constexpr unsigned kWidth = 8;
constexpr unsigned kHeight = 4;

/// An array of numbers from 1 on, and a module with one kernel: (image, words of results).
struct TextureFixture : DeviceFixture {
    TextureFixture() {
        const CUDA_ARRAY3D_DESCRIPTOR shape{
            kWidth, kHeight, 0, CU_AD_FORMAT_UNSIGNED_INT32, 1, CUDA_ARRAY3D_SURFACE_LDST};
        SUCCEEDS(cuArray3DCreate(&array, &shape));
        std::vector<unsigned> values(kWidth * kHeight);
        for (unsigned i = 0; i < values.size(); ++i) values[i] = i + 1;
        CUDA_MEMCPY2D copy{};
        copy.srcMemoryType = CU_MEMORYTYPE_HOST;
        copy.srcHost = values.data();
        copy.srcPitch = copy.WidthInBytes = kWidth * 4;
        copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
        copy.dstArray = array;
        copy.Height = kHeight;
        SUCCEEDS(cuMemcpy2D(&copy));
        resource.resType = CU_RESOURCE_TYPE_ARRAY;
        resource.res.array.hArray = array;
        how.addressMode[0] = how.addressMode[1] = CU_TR_ADDRESS_MODE_CLAMP;
        SUCCEEDS(cuMemAlloc(&results, 64));
    }

    /// Fills `words` with what the body leaves in %r0 … %r3.
    CUresult run(const std::string& body, std::uint64_t image) {
        const std::string text = R"(
.version 7.5
.target sm_75
.address_size 64
.visible .entry test(.param .u64 image, .param .u64 results)
{
    .reg .b32 %r<8>;
    .reg .f32 %f<8>;
    .reg .b64 %t<2>;
    .reg .b64 %rd<2>;
    ld.param.u64 %t0, [image];
    ld.param.u64 %rd0, [results];
    mov.b32 %r0, 0; mov.b32 %r1, 0; mov.b32 %r2, 0; mov.b32 %r3, 0;
)" + body + R"(
    st.global.v4.b32 [%rd0], {%r0, %r1, %r2, %r3};
    ret;
}
)";
        CUmodule code = nullptr;
        CUfunction kernel = nullptr;
        SUCCEEDS(cuModuleLoadData(&code, text.c_str()));
        SUCCEEDS(cuModuleGetFunction(&kernel, code, "test"));
        void* parameters[] = {&image, &results};
        SUCCEEDS(cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
        words.assign(4, 0);
        const CUresult result = cuMemcpyDtoH(words.data(), results, 16);
        return result;
    }

    CUtexObject texture() {
        CUtexObject made = 0;
        SUCCEEDS(cuTexObjectCreate(&made, &resource, &how, nullptr));
        return made;
    }
    CUsurfObject surface() {
        CUsurfObject made = 0;
        SUCCEEDS(cuSurfObjectCreate(&made, &resource));
        return made;
    }

    CUarray array = nullptr;
    CUDA_RESOURCE_DESC resource{};
    CUDA_TEXTURE_DESC how{};
    CUdeviceptr results = 0;
    std::vector<unsigned> words;
};

}  // namespace

TEST_CASE_METHOD(TextureFixture, "integer coordinates and constants name elements") {
    SUCCEEDS(run("tex.2d.v4.u32.s32 {%r0, %r1, %r2, %r3}, [%t0, {3, 2}];", texture()));
    CHECK(words == std::vector<unsigned>{2 * kWidth + 3 + 1, 0, 0, 0});
    SUCCEEDS(run("tex.2d.v4.u32.f32 {%r0, _, _, _}, [%t0, {0f40B00000, 1.25}];", texture()));
    CHECK(words[0] == kWidth + 5 + 1);
    SUCCEEDS(run("tex.2d.v4.u32.s32 {%r0, _, _, _}, [%t0, {100, -7}];", texture()));
    CHECK(words[0] == kWidth);
}

TEST_CASE_METHOD(TextureFixture, "a result may take the place of a coordinate") {
    SUCCEEDS(run(R"(mov.b32 %r0, 1; mov.b32 %r1, 3;
                    tex.2d.v4.u32.s32 {%r1, %r0, %r2, %r3}, [%t0, {%r0, %r1}];)",
                 texture()));
    CHECK(words == std::vector<unsigned>{0, 3 * kWidth + 1 + 1, 0, 0});
}

TEST_CASE_METHOD(TextureFixture, "kernels may ask what they were given") {
    SUCCEEDS(run(R"(txq.width.b32 %r0, [%t0]; txq.height.b32 %r1, [%t0];
                    txq.num_mipmap_levels.b32 %r2, [%t0];
                    txq.normalized_coords.b32 %r3, [%t0];)",
                 texture()));
    CHECK(words == std::vector<unsigned>{kWidth, kHeight, 1, 0});
    SUCCEEDS(run(R"(suq.width.b32 %r0, [%t0]; suq.height.b32 %r1, [%t0];
                    suq.array_size.b32 %r2, [%t0];)",
                 surface()));
    CHECK(words == std::vector<unsigned>{kWidth, kHeight, 1, 0});
}

TEST_CASE_METHOD(TextureFixture, "surfaces are reduced into") {
    SUCCEEDS(run(R"(mov.b32 %r4, 8; mov.b32 %r5, 1; mov.b32 %r6, 1000; mov.b32 %r7, 5;
                    sured.b.add.2d.u32.trap [%t0, {%r4, %r5}], %r6;
                    sured.b.min.2d.u32.clamp [%t0, {0, 0}], %r7;
                    sured.b.max.2d.u32.clamp [%t0, {4, 0}], %r7;
                    sured.b.or.2d.b32.zero [%t0, {400, 0}], %r7;
                    suld.b.2d.b32.trap {%r0}, [%t0, {%r4, %r5}];
                    suld.b.2d.v2.b32.trap {%r1, %r2}, [%t0, {0, 0}];
                    suld.b.2d.b32.zero {%r3}, [%t0, {400, 0}];)",
                 surface()));
    CHECK(words == std::vector<unsigned>{kWidth + 2 + 1 + 1000, 1, 5, 0});
}

TEST_CASE_METHOD(TextureFixture, "a handle that names nothing ends the kernel") {
    const CUtexObject gone = texture();
    SUCCEEDS(cuTexObjectDestroy(gone));
    CHECK(run("tex.2d.v4.u32.s32 {%r0, %r1, %r2, %r3}, [%t0, {0, 0}];", gone) ==
          CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(TextureFixture, "a surface is no texture") {
    CHECK(run("tex.2d.v4.u32.s32 {%r0, %r1, %r2, %r3}, [%t0, {0, 0}];", surface()) ==
          CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(TextureFixture, "outside of a surface .trap ends the kernel") {
    CHECK(run("suld.b.2d.b32.trap {%r0}, [%t0, {32, 0}];", surface()) ==
          CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(TextureFixture, "an element of a surface is aligned") {
    CHECK(run("suld.b.2d.b32.trap {%r0}, [%t0, {2, 0}];", surface()) ==
          CUDA_ERROR_MISALIGNED_ADDRESS);
}

TEST_CASE_METHOD(TextureFixture, "memory that was freed is no texture's any more") {
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, kPage));
    resource = {};
    resource.resType = CU_RESOURCE_TYPE_LINEAR;
    resource.res.linear.devPtr = memory;
    resource.res.linear.format = CU_AD_FORMAT_UNSIGNED_INT32;
    resource.res.linear.numChannels = 1;
    resource.res.linear.sizeInBytes = 64;
    const CUtexObject made = texture();
    const std::string fetch = "tex.1d.v4.u32.s32 {%r0, %r1, %r2, %r3}, [%t0, {%r0}];";
    SUCCEEDS(cuMemsetD32(memory, 77, 16));
    SUCCEEDS(run(fetch, made));
    CHECK(words[0] == 77);
    SUCCEEDS(cuMemFree(memory));
    CHECK(run(fetch, made) == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(TextureFixture, "a texture keeps the memory of its array") {
    const CUtexObject made = texture();
    SUCCEEDS(cuArrayDestroy(array));
    SUCCEEDS(run("tex.2d.v4.u32.s32 {%r0, %r1, %r2, %r3}, [%t0, {1, 0}];", made));
    CHECK(words[0] == 2);
}

TEST_CASE_METHOD(TextureFixture, "what textures cannot do is refused") {
    CUtexObject made = 0;
    how.maxAnisotropy = 8;
    CHECK(cuTexObjectCreate(&made, &resource, &how, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
    how.maxAnisotropy = 1;
    how.filterMode = CU_TR_FILTER_MODE_LINEAR;
    CHECK(cuTexObjectCreate(&made, &resource, &how, nullptr) == CUDA_ERROR_INVALID_VALUE);
    how.filterMode = CU_TR_FILTER_MODE_POINT;
    how.flags = CU_TRSF_SRGB;
    CHECK(cuTexObjectCreate(&made, &resource, &how, nullptr) == CUDA_ERROR_INVALID_VALUE);
    how.flags = CU_TRSF_SEAMLESS_CUBEMAP;
    CHECK(cuTexObjectCreate(&made, &resource, &how, nullptr) == CUDA_ERROR_INVALID_VALUE);
    how.flags = 0x800;
    CHECK(cuTexObjectCreate(&made, &resource, &how, nullptr) == CUDA_ERROR_INVALID_VALUE);
}
