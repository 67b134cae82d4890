// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graph_user_object.h"

#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"
#include "softgpu/device/graphs.h"
#include "softgpu/device/task.h"

namespace cubar::softgpu::device {
namespace {

/// The stream whose thread calls the application; of no context, and never closed.
const StreamRef& destroyer() {
    static const auto& stream = *new StreamRef(
        std::make_shared<Stream>(Stream::Setup{StreamRole::kCreated, CU_STREAM_NON_BLOCKING, 0, 0,
                                               nullptr, 0, std::make_shared<FaultState>()}));
    return stream;
}

}  // namespace

void UserObject::retain(std::uint64_t count) {
    std::lock_guard lock(mutex_);
    references_ += count;
}

void UserObject::release(std::uint64_t count) {
    {
        std::lock_guard lock(mutex_);
        require_value(count <= references_, "more references than there are");
        references_ -= count;
        if (references_ != 0) return;
    }
    Driver::get().graphs().user_objects.remove(handle);
    destroyer()->append(make_callback_task([destroy = destroy_, data = data_] { destroy(data); }),
                        {});
}

// NOLINTNEXTLINE(bugprone-exception-escape): without memory for the callback nothing goes on.
UserObjectReferences::~UserObjectReferences() {
    for (const auto& [object, count] : held_) object->release(count);
}

void UserObjectReferences::adopt(const UserObjectRef& object, std::uint64_t count) {
    held_[object] += count;
}

std::uint64_t UserObjectReferences::count(const UserObjectRef& object) const {
    const auto found = held_.find(object);
    return found != held_.end() ? found->second : 0;
}

void UserObjectReferences::release(const UserObjectRef& object, std::uint64_t count) {
    const auto found = held_.find(object);
    found->second -= count;
    if (found->second == 0) held_.erase(found);
    object->release(count);
}

void UserObjectReferences::copy(const UserObjectReferences& other) {
    for (const auto& [object, count] : other.held_) {
        object->retain(count);
        adopt(object, count);
    }
}

}  // namespace cubar::softgpu::device
