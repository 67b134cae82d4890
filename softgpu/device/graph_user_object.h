// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace cubar::softgpu::device {

/// Something of the application that graphs keep alive. When the last reference goes, a thread of
/// the driver calls the application's function: the caller may hold locks that it needs.
/// Thread-safe.
class UserObject {
public:
    UserObject(void* data, CUhostFn destroy, unsigned references)
        : data_(data), destroy_(destroy), references_(references) {}
    UserObject(const UserObject&) = delete;
    UserObject& operator=(const UserObject&) = delete;

    void retain(std::uint64_t count);
    /// Throws CUDA_ERROR_INVALID_VALUE when there are fewer.
    void release(std::uint64_t count);

    CUuserObject handle = nullptr;

private:
    void* const data_;
    const CUhostFn destroy_;
    std::mutex mutex_;
    std::uint64_t references_;
};

using UserObjectRef = std::shared_ptr<UserObject>;

/// The references that a graph holds; released with it.
class UserObjectReferences {
public:
    UserObjectReferences() = default;
    ~UserObjectReferences();  // NOLINT(bugprone-exception-escape): as there
    UserObjectReferences(const UserObjectReferences&) = delete;
    UserObjectReferences& operator=(const UserObjectReferences&) = delete;

    /// Takes over references that are already counted.
    void adopt(const UserObjectRef& object, std::uint64_t count);
    /// How many of the object it holds.
    [[nodiscard]] std::uint64_t count(const UserObjectRef& object) const;
    void release(const UserObjectRef& object, std::uint64_t count);
    /// References of its own to everything that the other holds.
    void copy(const UserObjectReferences& other);

private:
    std::map<UserObjectRef, std::uint64_t> held_;
};

}  // namespace cubar::softgpu::device
