// SPDX-License-Identifier: Apache-2.0
// Every function of the tests' libcublas.so.13 against sums on the host, in double.
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

namespace {

int cases = 0;
int failed = 0;

void tell(bool good, const char* name, const char* detail = "") {
    std::printf("%sok %d - %s %s\n", good ? "" : "not ", ++cases, name, detail);
    failed += good ? 0 : 1;
}

template <typename T>
T from_double(double value);
template <>
float from_double(double value) {
    return float(value);
}
template <>
__half from_double(double value) {
    return __float2half_rn(float(value));
}
template <>
__nv_bfloat16 from_double(double value) {
    return __float2bfloat16_rn(float(value));
}
double to_double(float value) {
    return value;
}
double to_double(__half value) {
    return __half2float(value);
}
double to_double(__nv_bfloat16 value) {
    return __bfloat162float(value);
}

template <typename T>
constexpr cudaDataType kType = CUDA_R_32F;
template <>
constexpr cudaDataType kType<__half> = CUDA_R_16F;
template <>
constexpr cudaDataType kType<__nv_bfloat16> = CUDA_R_16BF;
/// Largest relative rounding error of the result's type.
template <typename T>
constexpr double kEpsilon = 1.0 / (1 << 18);
template <>
constexpr double kEpsilon<__half> = 1.0 / (1 << 10);
template <>
constexpr double kEpsilon<__nv_bfloat16> = 1.0 / (1 << 7);

/// A column-major matrix on both sides.
template <typename T>
class Matrix {
public:
    Matrix(int leading, int columns, std::mt19937& random)
        : leading_(leading), values_(std::size_t(leading) * columns) {
        std::uniform_real_distribution<double> number(-1, 1);
        for (T& value : values_) value = from_double<T>(number(random));
        cudaMalloc(&device_, bytes());
        upload();
    }
    Matrix(const Matrix&) = delete;
    ~Matrix() { cudaFree(device_); }

    double at(int row, int column) const {
        return to_double(values_[row + std::size_t(column) * leading_]);
    }
    double at(cublasOperation_t operation, int row, int column) const {
        return operation == CUBLAS_OP_N ? at(row, column) : at(column, row);
    }
    void set(int row, int column, double value) {
        values_[row + std::size_t(column) * leading_] = from_double<T>(value);
    }
    void upload() { cudaMemcpy(device_, values_.data(), bytes(), cudaMemcpyHostToDevice); }
    void download() { cudaMemcpy(values_.data(), device_, bytes(), cudaMemcpyDeviceToHost); }
    T* device() const { return device_; }
    int leading() const { return leading_; }

private:
    std::size_t bytes() const { return values_.size() * sizeof(T); }

    int leading_;
    std::vector<T> values_;
    T* device_ = nullptr;
};

struct Shape {
    int m, n, k;
    cublasOperation_t a, b;
};

/// The largest error, in units of what the result's type can resolve.
template <typename TA, typename TC>
double error(const Shape& shape, double alpha, double beta, const Matrix<TA>& a,
             const Matrix<TA>& b, const Matrix<TC>& before, const Matrix<TC>& after) {
    double worst = 0;
    for (int row = 0; row < shape.m; ++row) {
        for (int column = 0; column < shape.n; ++column) {
            double sum = 0;
            double size = 0;
            for (int i = 0; i < shape.k; ++i) {
                const double product = a.at(shape.a, row, i) * b.at(shape.b, i, column);
                sum += product;
                size += std::abs(product);
            }
            const double old = beta == 0 ? 0 : beta * before.at(row, column);
            const double unit = kEpsilon<TC> * (std::abs(alpha) * size + std::abs(old) + 1e-3);
            const double off = std::abs(after.at(row, column) - (alpha * sum + old)) / unit;
            worst =
                std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(worst, off);
        }
    }
    return worst;
}

template <typename TA, typename TC>
void one_gemm(cublasHandle_t handle, const Shape& shape, float beta, cublasComputeType_t type,
              std::mt19937& random) {
    const float alpha = 0.75F;
    const bool plain_a = shape.a == CUBLAS_OP_N;
    const bool plain_b = shape.b == CUBLAS_OP_N;
    const int a_rows = plain_a ? shape.m : shape.k;
    const int b_rows = plain_b ? shape.k : shape.n;
    const Matrix<TA> a(a_rows + 3, plain_a ? shape.k : shape.m, random);
    const Matrix<TA> b(b_rows + 1, plain_b ? shape.n : shape.k, random);
    std::mt19937 same = random;
    Matrix<TC> before(shape.m + 2, shape.n, random);
    Matrix<TC> c(shape.m + 2, shape.n, same);
    if (beta == 0) c.set(0, 0, std::numeric_limits<double>::quiet_NaN());
    c.upload();
    const __half alpha16 = __float2half_rn(alpha);
    const __half beta16 = __float2half_rn(beta);
    const bool narrow = type == CUBLAS_COMPUTE_16F;
    const cublasStatus_t status = cublasGemmEx(
        handle, shape.a, shape.b, shape.m, shape.n, shape.k,
        narrow ? static_cast<const void*>(&alpha16) : &alpha, a.device(), kType<TA>, a.leading(),
        b.device(), kType<TA>, b.leading(), narrow ? static_cast<const void*>(&beta16) : &beta,
        c.device(), kType<TC>, c.leading(), type, CUBLAS_GEMM_DEFAULT);
    c.download();
    char name[96];
    std::snprintf(name, sizeof name, "GemmEx %dx%dx%d %c%c types %d to %d, beta %g", shape.m,
                  shape.n, shape.k, plain_a ? 'N' : 'T', plain_b ? 'N' : 'T', int(kType<TA>),
                  int(kType<TC>), double(beta));
    tell(status == CUBLAS_STATUS_SUCCESS && error(shape, alpha, beta, a, b, before, c) < 1, name);
}

void gemms(cublasHandle_t handle, std::mt19937& random) {
    const Shape shapes[] = {{1, 1, 1, CUBLAS_OP_N, CUBLAS_OP_N},
                            {33, 17, 70, CUBLAS_OP_T, CUBLAS_OP_N},
                            {64, 5, 32, CUBLAS_OP_N, CUBLAS_OP_T},
                            {31, 40, 19, CUBLAS_OP_T, CUBLAS_OP_T},
                            {7, 9, 0, CUBLAS_OP_N, CUBLAS_OP_N}};
    for (const Shape& shape : shapes) {
        for (const float beta : {0.0F, 0.5F}) {
            one_gemm<float, float>(handle, shape, beta, CUBLAS_COMPUTE_32F, random);
            one_gemm<__half, float>(handle, shape, beta, CUBLAS_COMPUTE_32F, random);
            one_gemm<__half, __half>(handle, shape, beta, CUBLAS_COMPUTE_16F, random);
            one_gemm<__nv_bfloat16, float>(handle, shape, beta, CUBLAS_COMPUTE_32F, random);
            one_gemm<__nv_bfloat16, __nv_bfloat16>(handle, shape, beta, CUBLAS_COMPUTE_32F, random);
        }
    }
}

/// Three problems side by side in one allocation, by strides and by arrays of pointers.
void batches(cublasHandle_t handle, std::mt19937& random) {
    constexpr int kProblems = 3;
    const Shape shape{20, 12, 8, CUBLAS_OP_T, CUBLAS_OP_N};
    const float alpha = 1, beta = 0;
    const Matrix<float> a(8, 20 * kProblems, random);
    const Matrix<float> b(8, 12 * kProblems, random);
    Matrix<float> c(20, 12 * kProblems, random);
    const auto right = [&] {
        c.download();
        double worst = 0;
        for (int problem = 0; problem < kProblems; ++problem) {
            for (int row = 0; row < shape.m; ++row) {
                for (int column = 0; column < shape.n; ++column) {
                    double sum = 0;
                    for (int i = 0; i < shape.k; ++i) {
                        sum += a.at(i, problem * 20 + row) * b.at(i, problem * 12 + column);
                    }
                    worst = std::max(worst, std::abs(sum - c.at(row, problem * 12 + column)));
                    c.set(row, problem * 12 + column, 99);
                }
            }
        }
        c.upload();
        return worst < 1e-5;
    };
    const long long stride_a = 8 * 20, stride_b = 8 * 12, stride_c = 20 * 12;
    cublasStatus_t status = cublasSgemmStridedBatched(
        handle, shape.a, shape.b, 20, 12, 8, &alpha, a.device(), 8, stride_a, b.device(), 8,
        stride_b, &beta, c.device(), 20, stride_c, kProblems);
    tell(status == CUBLAS_STATUS_SUCCESS && right(), "SgemmStridedBatched");
    status = cublasGemmStridedBatchedEx(handle, shape.a, shape.b, 20, 12, 8, &alpha, a.device(),
                                        CUDA_R_32F, 8, stride_a, b.device(), CUDA_R_32F, 8,
                                        stride_b, &beta, c.device(), CUDA_R_32F, 20, stride_c,
                                        kProblems, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    tell(status == CUBLAS_STATUS_SUCCESS && right(), "GemmStridedBatchedEx");
    std::vector<void*> pointers;
    for (int problem = 0; problem < kProblems; ++problem) {
        pointers.push_back(a.device() + problem * stride_a);
    }
    for (int problem = 0; problem < kProblems; ++problem) {
        pointers.push_back(b.device() + problem * stride_b);
    }
    for (int problem = 0; problem < kProblems; ++problem) {
        pointers.push_back(c.device() + problem * stride_c);
    }
    void** arrays = nullptr;
    cudaMalloc(&arrays, pointers.size() * sizeof(void*));
    cudaMemcpy(arrays, pointers.data(), pointers.size() * sizeof(void*), cudaMemcpyHostToDevice);
    status = cublasSgemmBatched(handle, shape.a, shape.b, 20, 12, 8, &alpha,
                                reinterpret_cast<float**>(arrays), 8,
                                reinterpret_cast<float**>(arrays + kProblems), 8, &beta,
                                reinterpret_cast<float**>(arrays + 2 * kProblems), 20, kProblems);
    tell(status == CUBLAS_STATUS_SUCCESS && right(), "SgemmBatched");
    status =
        cublasGemmBatchedEx(handle, shape.a, shape.b, 20, 12, 8, &alpha, arrays, CUDA_R_32F, 8,
                            arrays + kProblems, CUDA_R_32F, 8, &beta, arrays + 2 * kProblems,
                            CUDA_R_32F, 20, kProblems, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    tell(status == CUBLAS_STATUS_SUCCESS && right(), "GemmBatchedEx");
    cudaFree(arrays);
}

/// All sixteen kinds of triangular systems.
void systems(cublasHandle_t handle, std::mt19937& random) {
    const int m = 9, n = 70;
    for (int kind = 0; kind < 16; ++kind) {
        const bool left = kind & 1, lower = kind & 2, plain = kind & 4, unit = kind & 8;
        const int order = left ? m : n;
        Matrix<float> a(order + 1, order, random);
        for (int i = 0; i < order; ++i) {
            for (int j = 0; j < order; ++j) a.set(i, j, i == j ? 2 : a.at(i, j) / order);
        }
        a.upload();
        std::mt19937 same = random;
        const Matrix<float> b(m, n, random);
        Matrix<float> x(m, n, same);
        void* pointers[] = {a.device(), x.device()};
        void** arrays = nullptr;
        cudaMalloc(&arrays, sizeof pointers);
        cudaMemcpy(arrays, pointers, sizeof pointers, cudaMemcpyHostToDevice);
        const float alpha = 0.5F;
        const cublasStatus_t status = cublasStrsmBatched(
            handle, left ? CUBLAS_SIDE_LEFT : CUBLAS_SIDE_RIGHT,
            lower ? CUBLAS_FILL_MODE_LOWER : CUBLAS_FILL_MODE_UPPER,
            plain ? CUBLAS_OP_N : CUBLAS_OP_T, unit ? CUBLAS_DIAG_UNIT : CUBLAS_DIAG_NON_UNIT, m, n,
            &alpha, reinterpret_cast<float**>(arrays), a.leading(),
            reinterpret_cast<float**>(arrays + 1), m, 1);
        x.download();
        cudaFree(arrays);
        const auto triangle = [&](int row, int column) {
            if (row == column) return unit ? 1.0 : a.at(row, row);
            const bool stored = lower ? row > column : row < column;
            return stored ? a.at(row, column) : 0.0;
        };
        const auto op = [&](int row, int column) {
            return plain ? triangle(row, column) : triangle(column, row);
        };
        double worst = 0;
        for (int row = 0; row < m; ++row) {
            for (int column = 0; column < n; ++column) {
                double sum = 0;
                for (int i = 0; i < order; ++i) {
                    sum += left ? op(row, i) * x.at(i, column) : x.at(row, i) * op(i, column);
                }
                worst = std::max(worst, std::abs(sum - alpha * b.at(row, column)));
            }
        }
        char name[64];
        std::snprintf(name, sizeof name, "StrsmBatched %s %s %s %s", left ? "left" : "right",
                      lower ? "lower" : "upper", plain ? "N" : "T", unit ? "unit" : "non-unit");
        tell(status == CUBLAS_STATUS_SUCCESS && worst < 1e-5, name);
    }
}

void refusals(cublasHandle_t handle) {
    const float one = 1;
    const double wide = 1;
    tell(cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, nullptr, 1, nullptr, 1, &one,
                     nullptr, 1) == CUBLAS_STATUS_NOT_INITIALIZED,
         "no handle");
    tell(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, nullptr, 1, nullptr, 2, &one,
                     nullptr, 2) == CUBLAS_STATUS_INVALID_VALUE,
         "columns that overlap");
    tell(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, -1, 2, 2, &one, nullptr, 2, nullptr, 2, &one,
                     nullptr, 2) == CUBLAS_STATUS_INVALID_VALUE,
         "a negative size");
    tell(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &wide, nullptr, CUDA_R_64F, 1,
                      nullptr, CUDA_R_64F, 1, &wide, nullptr, CUDA_R_64F, 1, CUBLAS_COMPUTE_64F,
                      CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_NOT_SUPPORTED,
         "double precision");
}

}  // namespace

int main() {
    constexpr unsigned kSeed = 7;
    std::printf("# seed %u\n", kSeed);
    std::mt19937 random(kSeed);
    cublasHandle_t handle = nullptr;
    cudaStream_t stream = nullptr;
    const bool ready =
        cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS &&
        cudaStreamCreate(&stream) == cudaSuccess &&
        cublasSetStream(handle, stream) == CUBLAS_STATUS_SUCCESS &&
        cublasSetWorkspace(handle, nullptr, 0) == CUBLAS_STATUS_SUCCESS &&
        cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS;
    tell(ready, "a handle", cublasGetStatusString(CUBLAS_STATUS_SUCCESS));
    if (ready) {
        gemms(handle, random);
        batches(handle, random);
        systems(handle, random);
        refusals(handle);
        tell(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS, "its end");
    }
    std::printf("1..%d\n", cases);
    return failed == 0 ? 0 : 1;
}
