// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "host/cubard/cache_directory.h"
#include "host/cubard/event_loop.h"

namespace cubar::host {

/// A VM's compile cache, and its limit. The driver keeps a smaller one by itself; a worker that is
/// not the driver any more need not, so cubard looks too, once a second while a worker runs. It can
/// write but not remove (host/common/sandbox.h), so all that it wrote is in the directory.
///
/// The driver therefore cannot throw out what is old: where the VM's last session ends and the
/// cache has more than the driver was allowed, it is emptied.
class CompileCache {
public:
    /// A worker uses it, for as long as this lives.
    class User {
    public:
        explicit User(CompileCache& cache) : cache_(&cache) { cache.enter(); }
        User(User&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)) {}
        User& operator=(User&&) = delete;
        ~User() {
            if (cache_ != nullptr) {
                cache_->leave();
            }
        }

    private:
        CompileCache* cache_;
    };

    /// `limit` is in bytes on disk. `on_beyond` shall end all workers: the cache is over its limit,
    /// and is emptied when the last has gone. The root and the loop outlive this.
    CompileCache(EventLoop& loop, const CacheRoot& root, std::string vm, uid_t owner,
                 std::uint64_t limit, std::function<void()> on_beyond);
    CompileCache(const CompileCache&) = delete;
    CompileCache& operator=(const CompileCache&) = delete;

    /// Nothing where there is none for now: it is being emptied, or cannot be written (which is
    /// logged).
    std::optional<User> use();

    std::string path() const { return root_.path_of(vm_); }
    std::uint64_t limit() const { return limit_; }
    /// What the driver may fill by itself: half, for until the cache is emptied it grows on. More
    /// than 4 GiB the driver does not take.
    std::uint64_t driver_limit() const;
    /// Bytes on disk.
    std::uint64_t bytes() const;

private:
    bool have_directory();
    void enter();
    void leave();
    void look();
    void begin_to_empty();
    void empty_some();

    const CacheRoot& root_;
    std::string vm_;
    uid_t owner_;
    std::uint64_t limit_;
    std::function<void()> on_beyond_;
    std::optional<CacheDirectory> directory_;
    std::size_t users_ = 0;
    bool emptying_ = false;
    Timer look_timer_;
    Timer empty_timer_;
};

}  // namespace cubar::host
