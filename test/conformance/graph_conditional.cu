// SPDX-License-Identifier: Apache-2.0
// Conditional nodes of graphs: if with and without else, while, switch, one inside of another,
// bodies built by hand and by capture, defaults, updates, and what is refused.
#include <algorithm>
#include <vector>

#include "driver_api.h"

namespace {

/// The numbers that the kernels share.
struct State {
    unsigned number = 0;
    unsigned steps = 0;
    unsigned total = 0;
    unsigned copy = 0;
};

__global__ void count(State* state, cudaGraphConditionalHandle again, unsigned limit) {
    state->total += ++state->steps;
    cudaGraphSetConditional(again, state->steps < limit);
}

__global__ void add(State* state, unsigned amount) {
    state->total += amount;
}

__global__ void choose(const State* state, cudaGraphConditionalHandle handle) {
    cudaGraphSetConditional(handle, state->number);
}

// One step of Collatz's sequence: the loop's condition, then the one of parity, then either half.
__global__ void look(const State* state, cudaGraphConditionalHandle odd) {
    cudaGraphSetConditional(odd, state->number & 1);
}

__global__ void triple(State* state) {
    state->number = 3 * state->number + 1;
}

__global__ void halve(State* state) {
    state->number /= 2;
}

__global__ void step(State* state, cudaGraphConditionalHandle again) {
    ++state->steps;
    cudaGraphSetConditional(again, state->number != 1);
}

class Fixture {
public:
    Fixture() {
        CUDA(cudaMalloc(&state, sizeof(State)));
        CUDA(cudaStreamCreate(&stream));
    }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;
    ~Fixture() {
        cudaStreamDestroy(stream);
        cudaFree(state);
    }

    void set(const State& value) const {
        CUDA(cudaMemcpy(state, &value, sizeof value, cudaMemcpyHostToDevice));
    }
    State get() const {
        State value{};
        CUDA(cudaMemcpy(&value, state, sizeof value, cudaMemcpyDeviceToHost));
        return value;
    }
    State launch(cudaGraphExec_t exec) const {
        CUDA(cudaGraphLaunch(exec, stream));
        CUDA(cudaStreamSynchronize(stream));
        return get();
    }

    State* state = nullptr;
    cudaStream_t stream = nullptr;
};

cudaGraph_t new_graph() {
    cudaGraph_t graph = nullptr;
    CUDA(cudaGraphCreate(&graph, 0));
    return graph;
}

cudaGraphConditionalHandle condition_of(cudaGraph_t graph, unsigned initial = 0,
                                        unsigned flags = cudaGraphCondAssignDefault) {
    cudaGraphConditionalHandle handle = 0;
    CUDA(cudaGraphConditionalHandleCreate(&handle, graph, initial, flags));
    return handle;
}

template <class... Arguments>
cudaGraphNode_t kernel_node(cudaGraph_t graph, cudaGraphNode_t after, void (*kernel)(Arguments...),
                            Arguments... arguments) {
    void* pointers[] = {&arguments...};
    cudaGraphNodeParams parameters{};
    parameters.type = cudaGraphNodeTypeKernel;
    parameters.kernel.func = reinterpret_cast<void*>(kernel);
    parameters.kernel.gridDim = dim3(1);
    parameters.kernel.blockDim = dim3(1);
    parameters.kernel.kernelParams = pointers;
    cudaGraphNode_t node = nullptr;
    CUDA(cudaGraphAddNode(&node, graph, &after, nullptr, after != nullptr ? 1 : 0, &parameters));
    return node;
}

struct Conditional {
    cudaGraphNode_t node = nullptr;
    std::vector<cudaGraph_t> bodies;
};

cudaGraphNodeParams conditional_of(cudaGraphConditionalHandle handle,
                                   cudaGraphConditionalNodeType type, unsigned size) {
    cudaGraphNodeParams parameters{};
    parameters.type = cudaGraphNodeTypeConditional;
    parameters.conditional.handle = handle;
    parameters.conditional.type = type;
    parameters.conditional.size = size;
    return parameters;
}

Conditional conditional_node(cudaGraph_t graph, cudaGraphNode_t after,
                             cudaGraphConditionalHandle handle, cudaGraphConditionalNodeType type,
                             unsigned size = 1) {
    cudaGraphNodeParams parameters = conditional_of(handle, type, size);
    Conditional made;
    CUDA(cudaGraphAddNode(&made.node, graph, &after, nullptr, after != nullptr ? 1 : 0,
                          &parameters));
    const cudaGraph_t* bodies = parameters.conditional.phGraph_out;
    made.bodies.assign(bodies, bodies + size);
    for (const cudaGraph_t body : made.bodies) CHECK(body != nullptr && body != graph);
    cudaGraphNodeType type_of_node{};
    CUDA(cudaGraphNodeGetType(made.node, &type_of_node));
    CHECK(type_of_node == cudaGraphNodeTypeConditional);
    return made;
}

cudaGraphExec_t instantiate(cudaGraph_t graph) {
    cudaGraphExec_t exec = nullptr;
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    return exec;
}

std::size_t nodes_in(cudaGraph_t graph) {
    std::size_t count = 0;
    CUDA(cudaGraphGetNodes(graph, nullptr, &count));
    return count;
}

void loops() {
    const Fixture fixture;
    const cudaGraph_t graph = new_graph();
    const cudaGraphConditionalHandle again = condition_of(graph, 1);
    const Conditional loop = conditional_node(graph, nullptr, again, cudaGraphCondTypeWhile);
    kernel_node(loop.bodies[0], nullptr, count, fixture.state, again, 10u);
    kernel_node(graph, loop.node, add, fixture.state, 1000u);
    CHECK(nodes_in(graph) == 2);
    CHECK(nodes_in(loop.bodies[0]) == 1);
    const cudaGraphExec_t exec = instantiate(graph);
    for (unsigned round = 0; round < 3; ++round) {
        fixture.set({});
        const State end = fixture.launch(exec);
        CHECK(end.steps == 10 && end.total == 55 + 1000);
    }
    // The condition was 0 at the end: it is the default that let each launch begin anew. Launches
    // in flight together run one after another.
    fixture.set({});
    CUDA(cudaGraphLaunch(exec, fixture.stream));
    CUDA(cudaGraphLaunch(exec, fixture.stream));
    const State end = fixture.launch(exec);
    CHECK(end.steps == 12 && end.total == 55 + 11 + 12 + 3000);
    std::printf("while: %u steps, total %u\n", end.steps, end.total);
    CUDA(cudaGraphExecDestroy(exec));

    // A condition that is 0 from the start: the body is never run.
    const cudaGraph_t never = new_graph();
    const cudaGraphConditionalHandle off = condition_of(never, 0);
    const Conditional skipped = conditional_node(never, nullptr, off, cudaGraphCondTypeWhile);
    kernel_node(skipped.bodies[0], nullptr, count, fixture.state, off, 10u);
    const cudaGraphExec_t nothing = instantiate(never);
    CHECK(fixture.launch(nothing).steps == 12);
    CUDA(cudaGraphExecDestroy(nothing));
    CUDA(cudaGraphDestroy(never));
    CUDA(cudaGraphDestroy(graph));
}

void branches() {
    const Fixture fixture;
    for (const unsigned size : {1u, 2u}) {
        const cudaGraph_t graph = new_graph();
        const cudaGraphConditionalHandle handle = condition_of(graph, 0, 0);
        const cudaGraphNode_t first =
            kernel_node<const State*>(graph, nullptr, choose, fixture.state, handle);
        const Conditional branch =
            conditional_node(graph, first, handle, cudaGraphCondTypeIf, size);
        kernel_node(branch.bodies[0], nullptr, add, fixture.state, 1u);
        if (size == 2) kernel_node(branch.bodies[1], nullptr, add, fixture.state, 100u);
        kernel_node(graph, branch.node, add, fixture.state, 10000u);
        const cudaGraphExec_t exec = instantiate(graph);
        for (const unsigned number : {0u, 1u, 7u}) {
            fixture.set({number});
            const unsigned chosen = number != 0 ? 1 : size == 2 ? 100 : 0;
            const State end = fixture.launch(exec);
            CHECK(end.total == 10000 + chosen);
            std::printf("if with %u, %u graphs: %u\n", number, size, end.total);
        }
        CUDA(cudaGraphExecDestroy(exec));
        CUDA(cudaGraphDestroy(graph));
    }
}

void captured_switch() {
    const Fixture fixture;
    constexpr unsigned kCases = 4;
    // The graph itself is captured, too: the node is added where the capture stands.
    CUDA(cudaStreamBeginCapture(fixture.stream, cudaStreamCaptureModeRelaxed));
    cudaStreamCaptureStatus status{};
    cudaGraph_t graph = nullptr;
    const cudaGraphNode_t* dependencies = nullptr;
    const cudaGraphEdgeData* edges = nullptr;
    std::size_t count = 0;
    CUDA(cudaStreamGetCaptureInfo(fixture.stream, &status, nullptr, &graph, &dependencies, &edges,
                                  &count));
    CHECK(status == cudaStreamCaptureStatusActive);
    const cudaGraphConditionalHandle handle = condition_of(graph, 0, 0);
    choose<<<1, 1, 0, fixture.stream>>>(fixture.state, handle);
    CUDA(cudaStreamGetCaptureInfo(fixture.stream, &status, nullptr, &graph, &dependencies, &edges,
                                  &count));
    CHECK(count == 1);
    Conditional chosen =
        conditional_node(graph, dependencies[0], handle, cudaGraphCondTypeSwitch, kCases);
    CUDA(cudaStreamUpdateCaptureDependencies(fixture.stream, &chosen.node, nullptr, 1,
                                             cudaStreamSetCaptureDependencies));
    cudaStream_t inner;
    CUDA(cudaStreamCreate(&inner));
    for (unsigned i = 0; i < kCases; ++i) {
        CUDA(cudaStreamBeginCaptureToGraph(inner, chosen.bodies[i], nullptr, nullptr, 0,
                                           cudaStreamCaptureModeRelaxed));
        for (unsigned repeat = 0; repeat <= i; ++repeat)
            add<<<1, 1, 0, inner>>>(fixture.state, 10 + i);
        CUDA(cudaMemcpyAsync(&fixture.state->copy, &fixture.state->total, sizeof(unsigned),
                             cudaMemcpyDeviceToDevice, inner));
        cudaGraph_t same = nullptr;
        CUDA(cudaStreamEndCapture(inner, &same));
        CHECK(same == chosen.bodies[i]);
        CHECK(nodes_in(same) == i + 2);
    }
    add<<<1, 1, 0, fixture.stream>>>(fixture.state, 1000);
    cudaGraph_t ended = nullptr;
    CUDA(cudaStreamEndCapture(fixture.stream, &ended));
    CHECK(ended == graph && nodes_in(graph) == 3);
    const cudaGraphExec_t exec = instantiate(graph);
    for (unsigned number = 0; number < kCases + 2; ++number) {
        fixture.set({number});
        const unsigned wanted = number < kCases ? (number + 1) * (10 + number) : 0;
        const State end = fixture.launch(exec);
        CHECK(end.total == wanted + 1000 && end.copy == wanted);
        std::printf("switch %u: %u\n", number, end.total);
    }
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(inner));
}

/// A loop around a branch.
void nested() {
    const Fixture fixture;
    const cudaGraph_t graph = new_graph();
    const cudaGraphConditionalHandle again = condition_of(graph, 1);
    const Conditional loop = conditional_node(graph, nullptr, again, cudaGraphCondTypeWhile);
    const cudaGraph_t body = loop.bodies[0];
    const cudaGraphConditionalHandle odd = condition_of(body, 0, 0);
    const cudaGraphNode_t looked =
        kernel_node<const State*>(body, nullptr, look, fixture.state, odd);
    const Conditional branch = conditional_node(body, looked, odd, cudaGraphCondTypeIf, 2);
    kernel_node(branch.bodies[0], nullptr, triple, fixture.state);
    kernel_node(branch.bodies[1], nullptr, halve, fixture.state);
    kernel_node(body, branch.node, step, fixture.state, again);
    const cudaGraphExec_t exec = instantiate(graph);
    for (const unsigned number : {2u, 6u, 7u, 27u}) {
        unsigned steps = 0;
        for (unsigned n = number; n != 1; ++steps) n = n % 2 != 0 ? 3 * n + 1 : n / 2;
        fixture.set({number});
        const State end = fixture.launch(exec);
        CHECK(end.number == 1 && end.steps == steps);
        std::printf("from %u in %u steps\n", number, end.steps);
    }
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
}

/// All else that a body may have: fills, copies, empty nodes, child graphs.
void bodies() {
    const Fixture fixture;
    const cudaGraph_t graph = new_graph();
    const cudaGraphConditionalHandle again = condition_of(graph, 1);
    const Conditional loop = conditional_node(graph, nullptr, again, cudaGraphCondTypeWhile);
    const cudaGraph_t body = loop.bodies[0];

    const cudaGraph_t child = new_graph();
    const cudaGraphNode_t one = kernel_node(child, nullptr, add, fixture.state, 1u);
    kernel_node(child, one, add, fixture.state, 2u);
    cudaGraphNode_t inside = nullptr;
    CUDA(cudaGraphAddChildGraphNode(&inside, body, nullptr, 0, child));
    CUDA(cudaGraphDestroy(child));
    cudaMemsetParams fill{};
    fill.dst = &fixture.state->number;
    fill.value = 5;
    fill.elementSize = 4;
    fill.width = fill.height = 1;
    cudaGraphNode_t filled = nullptr;
    CUDA(cudaGraphAddMemsetNode(&filled, body, &inside, 1, &fill));
    cudaGraphNode_t copied = nullptr;
    CUDA(cudaGraphAddMemcpyNode1D(&copied, body, &filled, 1, &fixture.state->copy,
                                  &fixture.state->number, sizeof(unsigned),
                                  cudaMemcpyDeviceToDevice));
    cudaGraphNode_t empty = nullptr;
    CUDA(cudaGraphAddEmptyNode(&empty, body, &copied, 1));
    kernel_node(body, empty, count, fixture.state, again, 4u);
    CHECK(nodes_in(body) == 5);
    const cudaGraphExec_t exec = instantiate(graph);
    fixture.set({});
    const State end = fixture.launch(exec);
    CHECK(end.number == 5 && end.copy == 5 && end.steps == 4);
    CHECK(end.total == 4 * 3 + 10);
    std::printf("bodies: total %u\n", end.total);

    // A node of a body is changed through the executable graph like any other.
    State* state = fixture.state;
    cudaGraphConditionalHandle handle = again;
    unsigned limit = 2;
    void* pointers[] = {&state, &handle, &limit};
    cudaKernelNodeParams parameters{};
    parameters.func = reinterpret_cast<void*>(count);
    parameters.gridDim = parameters.blockDim = dim3(1);
    parameters.kernelParams = pointers;
    cudaGraphNode_t nodes[5];
    std::size_t found = 5;
    CUDA(cudaGraphGetNodes(body, nodes, &found));
    CUDA(cudaGraphExecKernelNodeSetParams(exec, nodes[4], &parameters));
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 2);

    // The executable graph stands alone.
    CUDA(cudaGraphDestroy(graph));
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 2);
    CUDA(cudaGraphExecDestroy(exec));
}

cudaGraph_t counting(const Fixture& fixture, unsigned limit, unsigned initial,
                     cudaGraphConditionalNodeType type = cudaGraphCondTypeWhile) {
    const cudaGraph_t graph = new_graph();
    const cudaGraphConditionalHandle again = condition_of(graph, initial);
    const Conditional loop = conditional_node(graph, nullptr, again, type);
    kernel_node(loop.bodies[0], nullptr, count, fixture.state, again, limit);
    return graph;
}

void updates() {
    const Fixture fixture;
    const cudaGraph_t graph = counting(fixture, 3, 1);
    const cudaGraphExec_t exec = instantiate(graph);
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 3);

    // The bodies' nodes and the defaults are taken over.
    cudaGraphExecUpdateResultInfo info{};
    const cudaGraph_t longer = counting(fixture, 6, 1);
    CUDA(cudaGraphExecUpdate(exec, longer, &info));
    CHECK(info.result == cudaGraphExecUpdateSuccess);
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 6);
    const cudaGraph_t off = counting(fixture, 6, 0);
    CUDA(cudaGraphExecUpdate(exec, off, &info));
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 0);
    CUDA(cudaGraphExecUpdate(exec, graph, &info));
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 3);

    // The node's own parameters are not, nor is another body.
    const cudaGraph_t branch = counting(fixture, 3, 1, cudaGraphCondTypeIf);
    CUDA_FAILS(cudaGraphExecUpdate(exec, branch, &info), cudaErrorGraphExecUpdateFailure);
    CHECK(info.result == cudaGraphExecUpdateErrorParametersChanged);
    CHECK(info.errorNode != nullptr);
    const cudaGraph_t more = new_graph();
    const cudaGraphConditionalHandle again = condition_of(more, 1);
    const Conditional loop = conditional_node(more, nullptr, again, cudaGraphCondTypeWhile);
    kernel_node(loop.bodies[0], kernel_node(loop.bodies[0], nullptr, add, fixture.state, 1u), count,
                fixture.state, again, 3u);
    CUDA_FAILS(cudaGraphExecUpdate(exec, more, &info), cudaErrorGraphExecUpdateFailure);
    CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 3);
    CUDA(cudaGraphExecDestroy(exec));
    for (const cudaGraph_t each : {graph, longer, off, branch, more}) CUDA(cudaGraphDestroy(each));
    std::printf("updates: done\n");
}

void CUDART_CB nothing(void*) {}

void refusals() {
    const Fixture fixture;
    const cudaGraph_t graph = new_graph();
    cudaGraphConditionalHandle handle = 0;
    CUDA_FAILS(cudaGraphConditionalHandleCreate(&handle, graph, 0, 2), cudaErrorInvalidValue);
    handle = condition_of(graph, 1);
    cudaGraphNode_t node = nullptr;
    const auto refused = [&](cudaGraph_t where, cudaGraphConditionalHandle which,
                             cudaGraphConditionalNodeType type, unsigned size) {
        cudaGraphNodeParams parameters = conditional_of(which, type, size);
        CUDA_FAILS(cudaGraphAddNode(&node, where, nullptr, nullptr, 0, &parameters),
                   cudaErrorInvalidValue);
    };
    refused(graph, handle, cudaGraphCondTypeWhile, 0);
    refused(graph, handle, cudaGraphCondTypeWhile, 2);
    refused(graph, handle, cudaGraphCondTypeIf, 3);
    refused(graph, handle, static_cast<cudaGraphConditionalNodeType>(9), 1);
    refused(graph, 12345, cudaGraphCondTypeIf, 1);
    const cudaGraph_t other = new_graph();
    refused(other, handle, cudaGraphCondTypeIf, 1);

    // A condition that no node looks at.
    cudaGraphInstantiateParams how{};
    cudaGraphExec_t exec = nullptr;
    CHECK(cudaGraphInstantiateWithParams(&exec, graph, &how) != cudaSuccess);
    CHECK(how.result_out == cudaGraphInstantiateConditionalHandleUnused);

    Conditional loop = conditional_node(graph, nullptr, handle, cudaGraphCondTypeWhile);
    refused(graph, handle, cudaGraphCondTypeWhile, 1);
    const cudaGraph_t body = loop.bodies[0];
    kernel_node(body, nullptr, count, fixture.state, handle, 5u);
    // What a GPU does not do by itself.
    cudaHostNodeParams host{nothing, nullptr};
    CHECK(cudaGraphAddHostNode(&node, body, nullptr, 0, &host) != cudaSuccess);
    cudaEvent_t event;
    CUDA(cudaEventCreate(&event));
    CHECK(cudaGraphAddEventRecordNode(&node, body, nullptr, 0, event) != cudaSuccess);
    CUDA(cudaGraphAddHostNode(&node, other, nullptr, 0, &host));
    cudaGraphNode_t call = node;
    CHECK(cudaGraphAddChildGraphNode(&node, body, nullptr, 0, other) != cudaSuccess);
    CUDA(cudaGraphDestroyNode(call));
    CHECK(nodes_in(body) == 1);

    // The graph as a whole: no copies, one executable graph, bodies that end with it.
    cudaGraph_t clone = nullptr;
    CHECK(cudaGraphClone(&clone, graph) != cudaSuccess);
    CHECK(cudaGraphAddChildGraphNode(&node, other, nullptr, 0, graph) != cudaSuccess);
    CHECK(cudaGraphDestroy(body) != cudaSuccess);
    exec = instantiate(graph);
    cudaGraphExec_t second = nullptr;
    CHECK(cudaGraphInstantiate(&second, graph, 0) != cudaSuccess);
    cudaGraphNodeParams same = conditional_of(handle, cudaGraphCondTypeWhile, 1);
    CHECK(cudaGraphNodeSetParams(loop.node, &same) != cudaSuccess);
    CHECK(cudaGraphExecNodeSetParams(exec, loop.node, &same) != cudaSuccess);
    CUDA(cudaStreamBeginCapture(fixture.stream, cudaStreamCaptureModeRelaxed));
    CHECK(cudaGraphLaunch(exec, fixture.stream) != cudaSuccess);
    cudaGraph_t captured = nullptr;
    if (cudaStreamEndCapture(fixture.stream, &captured) == cudaSuccess)
        CUDA(cudaGraphDestroy(captured));
    cudaGetLastError();
    fixture.set({});
    CHECK(fixture.launch(exec).steps == 5);
    CUDA(cudaGraphExecDestroy(exec));
    exec = instantiate(graph);
    CUDA(cudaGraphExecDestroy(exec));

    // With the node go its bodies, and the condition can be given to another one.
    CUDA(cudaGraphDestroyNode(loop.node));
    std::size_t some = 0;
    CUDA_FAILS(cudaGraphGetNodes(body, nullptr, &some), cudaErrorInvalidValue);
    loop = conditional_node(graph, nullptr, handle, cudaGraphCondTypeWhile);
    const cudaGraph_t again = loop.bodies[0];
    CHECK(nodes_in(again) == 0);
    CUDA(cudaGraphDestroy(graph));
    CUDA_FAILS(cudaGraphGetNodes(again, nullptr, &some), cudaErrorInvalidValue);
    refused(other, handle, cudaGraphCondTypeIf, 1);
    CUDA(cudaGraphDestroy(other));
    CUDA(cudaEventDestroy(event));
    std::printf("refusals: done\n");
}

}  // namespace

int main() {
    loops();
    branches();
    captured_switch();
    nested();
    bodies();
    updates();
    refusals();
    std::printf("OK\n");
    return 0;
}
