// SPDX-License-Identifier: Apache-2.0
// The few functions of the C++ runtime that the guest's libraries need, written so that nothing of
// the exception machinery is linked: libsupc++ would bring an initialiser of its own and an
// unwinder that asks for a newer glibc. Hidden, like everything but the driver API: the
// application's own operators new and delete are untouched.
#include <cstdlib>
#include <new>

#include "driver/log.h"

namespace {

// Reached only where this process has no memory left for some hundred bytes, or where a lock is
// used as no code here uses it. There is no caller who could be told.
[[noreturn]] void fail(const char* what) {
    CUBAR_LOG(kError, "cubar ends the process: %s", what);
    std::abort();
}

void* allocate(std::size_t bytes) {
    void* memory = std::malloc(bytes != 0 ? bytes : 1);
    if (memory == nullptr) fail("out of memory");
    return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
    return allocate(bytes);
}
void* operator new[](std::size_t bytes) {
    return allocate(bytes);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return std::malloc(bytes != 0 ? bytes : 1);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return std::malloc(bytes != 0 ? bytes : 1);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace std {

const nothrow_t nothrow{};

// What the standard containers and locks call instead of throwing (bits/functexcept.h, which says
// that they do not return).
void __throw_bad_alloc() {
    fail("out of memory");
}
void __throw_bad_array_new_length() {
    fail("out of memory");
}
void __throw_length_error(const char* what) {
    fail(what);
}
void __throw_logic_error(const char* what) {
    fail(what);
}
void __throw_out_of_range_fmt(const char* what, ...) {
    fail(what);
}
void __throw_bad_function_call() {
    fail("an empty function is called");
}
void __throw_system_error(int) {
    fail("a lock is broken");
}

}  // namespace std
