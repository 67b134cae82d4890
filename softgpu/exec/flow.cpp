// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/flow.h"

#include <algorithm>

namespace cubar::softgpu::exec {
namespace {

using ptx::Instruction;
using ptx::Opcode;

bool always_executes(const Instruction& instruction) {
    return instruction.predicate == ptx::kNoIndex;
}

bool ends_block(const Instruction& instruction) {
    switch (instruction.opcode) {
        case Opcode::kBra:
        case Opcode::kBrx:
            return true;
        case Opcode::kRet:
        case Opcode::kExit:
        case Opcode::kTrap:
            return always_executes(instruction);
        default:
            return false;
    }
}

std::vector<uint32_t> target_labels(const ptx::Body& body, const Instruction& instruction) {
    if (instruction.opcode == Opcode::kBra) return {instruction.operands[0].index};
    if (instruction.opcode == Opcode::kBrx) return body.targets[instruction.operands[1].index];
    return {};
}

// Weak topological order (Bourdoncle): strongly connected components in topological order; within
// each, its head and then, without the edges back to it, again the same.
class Ordering {
public:
    explicit Ordering(const std::vector<FlowBlock>& blocks)
        : blocks_(blocks),
          level_(blocks.size(), 0),
          number_(blocks.size(), 0),
          low_(blocks.size(), 0),
          on_stack_(blocks.size(), false) {}

    std::vector<uint32_t> run() {
        if (!blocks_.empty()) order({0}, 0);
        return std::move(order_);
    }

private:
    struct Visit {
        uint32_t node;
        size_t next = 0;
    };

    // Orders what can be reached from `roots` among the nodes of level `level`.
    void order(const std::vector<uint32_t>& roots, uint32_t level) {
        std::vector<std::vector<uint32_t>> components;
        for (auto root = roots.rbegin(); root != roots.rend(); ++root) {
            if (level_[*root] == level && number_[*root] == 0) visit(*root, level, components);
        }
        // The search finds components in reverse topological order.
        for (auto component = components.rbegin(); component != components.rend(); ++component) {
            lay_out(*component, level);
        }
    }

    void lay_out(std::vector<uint32_t>& component, uint32_t level) {
        // The first node that the search entered is the head: it is last in the component's list.
        const uint32_t head = component.back();
        order_.push_back(head);
        if (component.size() == 1) return;
        component.pop_back();
        std::sort(component.begin(), component.end());
        for (const uint32_t node : component) {
            level_[node] = level + 1;
            number_[node] = 0;
        }
        std::vector<uint32_t> roots;
        for (const uint32_t node : blocks_[head].successors) {
            if (level_[node] == level + 1) roots.push_back(node);
        }
        std::sort(roots.begin(), roots.end());
        order(roots, level + 1);
    }

    void visit(uint32_t root, uint32_t level, std::vector<std::vector<uint32_t>>& components) {
        std::vector<Visit> path;
        enter(root, path);
        while (!path.empty()) {
            Visit& top = path.back();
            const auto& successors = blocks_[top.node].successors;
            if (top.next < successors.size()) {
                // Later text first, so that earlier text comes earlier among equals.
                const uint32_t next = successors[successors.size() - 1 - top.next++];
                if (level_[next] != level) continue;
                if (number_[next] == 0) {
                    enter(next, path);
                } else if (on_stack_[next]) {
                    low_[top.node] = std::min(low_[top.node], number_[next]);
                }
                continue;
            }
            const uint32_t node = top.node;
            path.pop_back();
            if (!path.empty()) {
                low_[path.back().node] = std::min(low_[path.back().node], low_[node]);
            }
            if (low_[node] != number_[node]) continue;
            std::vector<uint32_t> component;
            uint32_t member;
            do {
                member = stack_.back();
                stack_.pop_back();
                on_stack_[member] = false;
                component.push_back(member);
            } while (member != node);
            components.push_back(std::move(component));
        }
    }

    void enter(uint32_t node, std::vector<Visit>& path) {
        number_[node] = low_[node] = ++count_;
        stack_.push_back(node);
        on_stack_[node] = true;
        path.push_back({node});
    }

    const std::vector<FlowBlock>& blocks_;
    std::vector<uint32_t> level_;  // how many loop heads have been taken out around a node
    std::vector<uint32_t> number_;
    std::vector<uint32_t> low_;
    std::vector<bool> on_stack_;
    std::vector<uint32_t> stack_;
    std::vector<uint32_t> order_;
    uint32_t count_ = 0;
};

}  // namespace

std::vector<FlowBlock> find_blocks(const ptx::Body& body) {
    const auto size = uint32_t(body.code.size());
    std::vector<bool> leads(size + 1, false);
    std::vector<bool> is_target(size + 1, false);
    leads[0] = true;
    leads[size] = true;
    for (uint32_t at = 0; at < size; ++at) {
        for (const uint32_t label : target_labels(body, body.code[at])) {
            leads[body.labels[label].target] = true;
            is_target[body.labels[label].target] = true;
        }
        if (ends_block(body.code[at])) leads[at + 1] = true;
    }
    std::vector<FlowBlock> blocks;
    std::vector<uint32_t> block_at(size + 1, 0);
    for (uint32_t at = 0; at <= size; ++at) {
        if (!leads[at]) continue;
        if (!blocks.empty()) blocks.back().end = at;
        block_at[at] = uint32_t(blocks.size());
        FlowBlock block;
        block.begin = at;
        block.end = size;
        block.is_target = is_target[at];
        blocks.push_back(block);
    }
    for (uint32_t index = 0; index + 1 < blocks.size(); ++index) {
        FlowBlock& block = blocks[index];
        const Instruction& last = body.code[block.end - 1];
        if (!ends_block(last) || !always_executes(last)) {
            block.next = index + 1;
            block.successors.push_back(index + 1);
        }
        for (const uint32_t label : target_labels(body, last)) {
            block.successors.push_back(block_at[body.labels[label].target]);
        }
        std::sort(block.successors.begin(), block.successors.end());
        block.successors.erase(std::unique(block.successors.begin(), block.successors.end()),
                               block.successors.end());
    }
    return blocks;
}

std::vector<uint32_t> order_blocks(const std::vector<FlowBlock>& blocks) {
    return Ordering(blocks).run();
}

}  // namespace cubar::softgpu::exec
