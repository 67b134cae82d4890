// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "decoder.h"

namespace cubar::decode {
namespace {

/// What cuBLAS recommends for Hopper, and more than it does for others.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

}  // namespace

Library::Library() : workspace_(kWorkspaceBytes) {
    CUBAR_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    CUBAR_CHECK(cublasCreate(&cublas_));
    CUBAR_CHECK(cublasSetStream(cublas_, stream_));
    CUBAR_CHECK(cublasSetWorkspace(cublas_, workspace_.get(), kWorkspaceBytes));
}

Library::~Library() {
    cublasDestroy(cublas_);
    cudaStreamDestroy(stream_);
}

Decoder::Decoder(const Shape& shape, const Library& library)
    : shape_(shape),
      stream_(library.stream()),
      model_(shape, library.cublas(), library.stream()),
      input_(1),
      logits_(std::size_t(shape.vocabulary)),
      token_(1) {
    // Whatever is loaded at a first call is loaded before the capture. It also ends the making of
    // the weights.
    step(Way::kEager, kPrompt[0], 0);
    capture();
}

Decoder::~Decoder() {
    cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
}

void Decoder::capture() {
    CUBAR_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    model_.step();
    CUBAR_CHECK(cudaStreamEndCapture(stream_, &graph_));
    CUBAR_CHECK(cudaGraphInstantiate(&executable_, graph_, 0));
}

std::size_t Decoder::graph_nodes() const {
    std::size_t count = 0;
    CUBAR_CHECK(cudaGraphGetNodes(graph_, nullptr, &count));
    return count;
}

int Decoder::step(Way way, int token, int position) {
    *input_.get() = {token, position};
    CUBAR_CHECK(cudaMemcpyAsync(model_.input(), input_.get(), sizeof(Input), cudaMemcpyHostToDevice,
                                stream_));
    if (way == Way::kGraph) {
        CUBAR_CHECK(cudaGraphLaunch(executable_, stream_));
    } else {
        model_.step();
    }
    CUBAR_CHECK(cudaMemcpyAsync(logits_.get(), model_.logits(), logits_.all().size_bytes(),
                                cudaMemcpyDeviceToHost, stream_));
    CUBAR_CHECK(cudaMemcpyAsync(token_.get(), model_.token(), sizeof(int), cudaMemcpyDeviceToHost,
                                stream_));
    CUBAR_CHECK(cudaStreamSynchronize(stream_));
    return *token_.get();
}

Decoder::Run Decoder::run(Way way, int tokens, const OnLogits& on_logits) {
    Run run;
    int position = 0;
    int next = 0;
    const auto keep = [&] {
        run.tokens.push_back(next);
        if (on_logits) on_logits(logits_.all());
    };
    for (const int token : kPrompt) next = step(way, token, position++);
    keep();
    const auto begin = std::chrono::steady_clock::now();
    while (int(run.tokens.size()) < tokens) {
        next = step(way, next, position++);
        keep();
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    run.tokens_per_s = double(tokens - 1) / taken.count();
    return run;
}

}  // namespace cubar::decode
