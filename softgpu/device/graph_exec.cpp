// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graph_exec.h"

#include <algorithm>
#include <utility>

#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/launch.h"

namespace cubar::softgpu::device {
namespace {

using Works = std::vector<WorkRef>;

/// What is enqueued as one operation: works one after another, or a record. All of them run as the
/// stream's own operations would, so that a stream elsewhere can wait for an event in the middle.
struct Step {
    std::vector<EventRef> waits;  ///< before it
    Works works;
    EventRef record;
};

void add_works(const Graph& graph, Works& works);

/// A conditional node as it runs: what its bodies do, one after another.
class ConditionalRun final : public Work {
public:
    explicit ConditionalRun(const ConditionalWork& node)
        : Work(CU_GRAPH_NODE_TYPE_CONDITIONAL), condition_(node.condition()), kind_(node.kind()) {
        for (const GraphRef& body : node.bodies()) add_works(*body, bodies_.emplace_back());
    }
    void run(Stream& stream) const override {
        if (kind_ == CU_GRAPH_COND_TYPE_WHILE) return repeat(stream);
        const unsigned value = condition_->value();
        const bool is_if = kind_ == CU_GRAPH_COND_TYPE_IF;
        const std::size_t chosen = is_if ? (value != 0 ? 0 : 1) : value;
        if (chosen < bodies_.size()) run_body(stream, chosen);
    }

    [[nodiscard]] const std::vector<Works>& bodies() const { return bodies_; }

private:
    void repeat(Stream& stream) const {
        while (condition_->value() != 0 && !stream.abandoned()) {
            run_body(stream, 0);
            // Kernels that do nothing would never end the loop.
            if (Driver::get().settings().null_kernels) return;
        }
    }
    void run_body(Stream& stream, std::size_t which) const {
        for (const WorkRef& work : bodies_[which]) {
            if (stream.abandoned()) return;
            work->run(stream);
        }
    }

    ConditionRef condition_;
    CUgraphConditionalNodeType kind_;
    std::vector<Works> bodies_;
};

/// The bodies of conditional nodes have no nodes whose place in the stream matters.
void add_works(const Graph& graph, Works& works) {
    for (const Node* node : graph.order()) {
        if (!node->enabled) continue;
        const WorkRef& work = node->work();
        if (const ConditionalWork* conditional = conditional_of(*work))
            works.push_back(std::make_shared<ConditionalRun>(*conditional));
        else if (const ChildWork* child = child_of(*work))
            add_works(*child->graph(), works);
        else
            works.push_back(work);
    }
}

/// Gives conditions their defaults before anything else of a launch.
class BeginConditions final : public Work {
public:
    explicit BeginConditions(std::vector<ConditionRef> all)
        : Work(CU_GRAPH_NODE_TYPE_EMPTY), conditions_(std::move(all)) {}
    void run(Stream&) const override {
        for (const ConditionRef& condition : conditions_) condition->begin_launch();
    }

private:
    std::vector<ConditionRef> conditions_;
};

void add_conditions(const Graph& graph, std::vector<ConditionRef>& found) {
    for (const NodeRef& node : graph.nodes()) {
        if (const ConditionalWork* conditional = conditional_of(*node->work()))
            found.push_back(conditional->condition());
        for (const GraphRef& inner : graphs_in(*node->work())) add_conditions(*inner, found);
    }
}

void add_steps(const Graph& graph, std::vector<Step>& steps) {
    for (const Node* node : graph.order()) {
        if (!node->enabled) continue;
        const WorkRef& work = node->work();
        switch (work->type()) {
            case CU_GRAPH_NODE_TYPE_EMPTY:
                break;
            case CU_GRAPH_NODE_TYPE_GRAPH:
                add_steps(*child_of(*work)->graph(), steps);
                break;
            case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
                if (steps.empty() || !steps.back().works.empty() || steps.back().record != nullptr)
                    steps.emplace_back();
                steps.back().waits.push_back(static_cast<const EventWork&>(*work).event());
                break;
            case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
                if (steps.empty() || !steps.back().works.empty() || steps.back().record != nullptr)
                    steps.emplace_back();
                steps.back().record = static_cast<const EventWork&>(*work).event();
                break;
            default: {
                // Works that must stay on the stream's thread are not mixed with those that may be
                // done by a caller who waits.
                const bool fits = !steps.empty() && steps.back().record == nullptr &&
                                  (steps.back().works.empty() ||
                                   steps.back().works.back()->may_move() == work->may_move());
                if (!fits) steps.emplace_back();
                if (const ConditionalWork* conditional = conditional_of(*work))
                    steps.back().works.push_back(std::make_shared<ConditionalRun>(*conditional));
                else
                    steps.back().works.push_back(work);
            }
        }
    }
}

/// The contexts of the kernels.
void add_contexts(const Works& works, std::vector<ContextRef>& all) {
    for (const WorkRef& work : works) {
        if (work->type() == CU_GRAPH_NODE_TYPE_CONDITIONAL)
            for (const Works& body : static_cast<const ConditionalRun&>(*work).bodies())
                add_contexts(body, all);
        if (work->type() != CU_GRAPH_NODE_TYPE_KERNEL) continue;
        const auto& context = static_cast<const PreparedLaunch&>(*work).context();
        if (std::find(all.begin(), all.end(), context) == all.end()) all.push_back(context);
    }
}

void empty_disabled(const Graph& graph) {
    for (const NodeRef& node : graph.nodes()) {
        if (const ChildWork* child = child_of(*node->work())) empty_disabled(*child->graph());
        if (node->enabled) continue;
        node->set_work(std::make_shared<EmptyWork>());
        node->enabled = true;
    }
}

/// The first node that is not in the graph's order, here or in a graph inside.
Node* in_a_cycle(const Graph& graph) {
    const std::vector<Node*> order = graph.order();
    for (const NodeRef& node : graph.nodes()) {
        if (std::find(order.begin(), order.end(), node.get()) == order.end()) return node.get();
        for (const GraphRef& inner : graphs_in(*node->work()))
            if (in_a_cycle(*inner) != nullptr) return node.get();
    }
    return nullptr;
}

/// The first node that frees memory of its own graph and does not follow the allocation.
Node* frees_too_early(const Graph& graph) {
    for (const NodeRef& node : graph.nodes()) {
        if (const ChildWork* child = child_of(*node->work()))
            if (frees_too_early(*child->graph()) != nullptr) return node.get();
        const GraphBlockRef* freed = freed_by(*node->work());
        if (freed == nullptr) continue;
        for (const NodeRef& other : graph.nodes()) {
            const GraphBlockRef* allocated = allocated_by(*other->work());
            if (allocated != nullptr && *allocated == *freed &&
                !Graph::reaches(node->dependencies(), *other))
                return node.get();
        }
    }
    return nullptr;
}

}  // namespace

struct GraphExec::Plan {
    GraphRef graph;  // holds the user objects while a launch is in flight
    std::vector<Step> steps;
    std::vector<ContextRef> contexts;  // of the kernels
    std::vector<GraphMemory::Step> memory;
    bool brief = false;
};

namespace {

using Blocks = std::vector<GraphBlockRef>;

class StepTask final : public Task {
public:
    /// @param freed memory of an earlier launch that ends here
    StepTask(GraphExec::PlanRef plan, const Step& step, Blocks freed)
        : plan_(std::move(plan)), step_(step), freed_(std::move(freed)) {}
    void run(Stream& stream) override {
        for (const GraphBlockRef& block : freed_) block->unmap();
        for (const WorkRef& work : step_.works) {
            // A fault of an earlier one: nothing after it happens.
            if (stream.abandoned()) return;
            work->run(stream);
        }
    }
    [[nodiscard]] bool may_move() const override {
        return step_.works.empty() || step_.works.front()->may_move();
    }

private:
    const GraphExec::PlanRef plan_;
    const Step& step_;
    const Blocks freed_;
};

}  // namespace

GraphExec::GraphExec(const Graph& graph, cuuint64_t flags, Blame& blame)
    : graph_(graph.clone(Graph::Owner::kCaller)), flags_(flags) {
    const auto require_none = [&](Node* culprit, const char* reason) {
        if (culprit != nullptr) blame = {CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE, culprit};
        require_value(culprit == nullptr, reason);
    };
    require_none(in_a_cycle(graph), "the graph has a cycle");
    require_none(frees_too_early(graph), "memory is freed before it is allocated");
    require_none(with_foreign_kernel(graph),
                 "a conditional node's kernels are of its condition's context");
    if (has_unused_condition(graph)) {
        blame.result = CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED;
        throw Error(CUDA_ERROR_INVALID_VALUE, "no node looks at a condition of the graph");
    }
    plan();
}

Node* GraphExec::find(const Node& original) const {
    return graph_->find_clone(original, true);
}

void GraphExec::plan() {
    auto plan = std::make_shared<Plan>();
    plan->graph = graph_;
    std::vector<ConditionRef> conditions;
    add_conditions(*graph_, conditions);
    if (!conditions.empty())
        plan->steps.emplace_back().works.push_back(
            std::make_shared<BeginConditions>(std::move(conditions)));
    add_steps(*graph_, plan->steps);
    for (const Step& step : plan->steps) {
        add_contexts(step.works, plan->contexts);
        for (const WorkRef& work : step.works) {
            if (const GraphBlockRef* block = allocated_by(*work))
                plan->memory.push_back({true, *block});
            if (const GraphBlockRef* block = freed_by(*work))
                plan->memory.push_back({false, *block});
        }
    }
    plan->brief = plan->steps.size() == 1 && plan->steps.front().waits.empty() &&
                  plan->steps.front().record == nullptr &&
                  std::all_of(plan->steps.front().works.begin(), plan->steps.front().works.end(),
                              [](const WorkRef& work) { return work->brief(); });
    plan_ = std::move(plan);
}

WorkRef GraphExec::as_node() const {
    require_value(!owns_memory(*graph_), "a graph that owns memory cannot be copied into another");
    require_value(!has_conditional_nodes(*graph_),
                  "a graph with conditional nodes cannot be copied into another");
    GraphRef child = graph_->clone(Graph::Owner::kNode);
    empty_disabled(*child);
    return std::make_shared<ChildWork>(std::move(child));
}

Point GraphExec::launch(Context& context, const StreamRef& stream, const PlanRef& plan) {
    for (const ContextRef& needed : plan->contexts)
        require(Driver::get().find_context(needed->handle()) == needed,
                CUDA_ERROR_CONTEXT_IS_DESTROYED, "the context of a kernel has ended");
    stream->await_space();
    std::lock_guard lock(launch_mutex_);
    const bool alone = last_.done();
    if (plan->brief && alone)
        return last_ = context.streams().submit_brief(stream, [plan](Stream& own) {
            StepTask(plan, plan->steps.front(), {}).run(own);
        });
    GraphMemory& memory = Driver::get().graph_memory();
    const bool auto_free = (flags_ & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0;
    GraphMemory::Prepared prepared =
        Driver::get().with_reclaim([&] { return memory.prepare(plan->memory, auto_free); });
    std::vector<StreamSet::Turn> turns;
    std::vector<std::pair<EventRef, Event::Stamp>> records;
    for (const Step& step : plan->steps) {
        StreamSet::Turn turn;
        if (turns.empty()) {
            turn.after = std::move(prepared.after);
            if (!alone) turn.after.push_back(last_);
        }
        for (const EventRef& event : step.waits) turn.after.push_back(event->point());
        if (step.record != nullptr) {
            records.emplace_back(step.record, Event::Stamp());
            turn.task = make_task(records.back().second);
        } else {
            turn.task =
                std::make_unique<StepTask>(plan, step, std::exchange(prepared.freed_before, {}));
        }
        turns.push_back(std::move(turn));
    }
    if (turns.empty()) return last_;
    std::vector<Point> ends = context.streams().submit_together(stream, std::move(turns));
    std::size_t next = 0;
    for (std::size_t i = 0; i < ends.size(); ++i)
        if (plan->steps[i].record != nullptr) {
            auto& [event, stamp] = records[next++];
            event->recorded(ends[i], std::move(stamp));
        }
    memory.launched(plan->memory, ends.back());
    return last_ = ends.back();
}

}  // namespace cubar::softgpu::device
