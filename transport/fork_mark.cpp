// SPDX-License-Identifier: Apache-2.0
#include "transport/fork_mark.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "cubar/layout.h"

namespace cubar::transport {

namespace {

using Word = std::atomic<std::uint64_t>;

// All zero when the library is loaded: nothing here runs before it is first used.
constinit std::atomic<Word*> page{nullptr};
constinit std::atomic<std::uint64_t> generations{0};
constinit std::atomic<bool> handler_installed{false};
constinit std::array<std::atomic<int>, 256> closed_in_children{};  // number + 1; 0: none

// Runs in the child, alone, before fork() returns there.
void in_child() {
    if (Word* word = page.load(std::memory_order_relaxed); word != nullptr) {
        word->store(0, std::memory_order_relaxed);  // where the kernel knows no MADV_WIPEONFORK
    }
    for (std::atomic<int>& entry : closed_in_children) {
        if (const int number = entry.exchange(0, std::memory_order_relaxed); number != 0) {
            close(number - 1);
        }
    }
}

void install_handler() {
    if (!handler_installed.exchange(true, std::memory_order_acq_rel)) {
        pthread_atfork(nullptr, nullptr, in_child);
    }
}

Word* shared_page() {
    if (Word* word = page.load(std::memory_order_acquire); word != nullptr) {
        return word;
    }
    void* memory =
        mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return nullptr;
    }
    madvise(memory, kPageBytes, MADV_WIPEONFORK);
    Word* fresh = static_cast<Word*>(memory);
    Word* present = nullptr;
    if (page.compare_exchange_strong(present, fresh, std::memory_order_acq_rel)) {
        install_handler();
        return fresh;
    }
    munmap(memory, kPageBytes);
    return present;
}

}  // namespace

ForkMark ForkMark::here() {
    ForkMark mark;
    Word* word = shared_page();
    if (word == nullptr) {
        return mark;
    }
    std::uint64_t generation = word->load(std::memory_order_relaxed);
    if (generation == 0) {
        const std::uint64_t next = generations.fetch_add(1, std::memory_order_relaxed) + 1;
        if (word->compare_exchange_strong(generation, next, std::memory_order_relaxed)) {
            generation = next;
        }
    }
    mark.word_ = word;
    mark.generation_ = generation;
    return mark;
}

bool close_in_children(int descriptor) {
    install_handler();
    for (std::atomic<int>& entry : closed_in_children) {
        int none = 0;
        if (entry.compare_exchange_strong(none, descriptor + 1, std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void keep_in_children(int descriptor) {
    for (std::atomic<int>& entry : closed_in_children) {
        int present = descriptor + 1;
        if (entry.compare_exchange_strong(present, 0, std::memory_order_relaxed)) {
            return;
        }
    }
}

}  // namespace cubar::transport
