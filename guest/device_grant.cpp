// SPDX-License-Identifier: Apache-2.0
#include "guest/device_grant.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "cubar/layout.h"
#include "transport/descriptor.h"

namespace cubar::tools {

namespace {

using transport::Descriptor;

constexpr const char* kVendor = "0x1af4";
constexpr const char* kDevice = "0x1110";
constexpr const char* kFiles[] = {"resource0", "resource2", "resource2_wc"};
constexpr off_t kCommandRegister = 4;
constexpr std::uint16_t kCommandMemory = 2;
constexpr mode_t kGroupMode = 0660;
constexpr mode_t kRootMode = 0600;

Granted failed(const std::string& path) {
    const int error = errno;
    std::string says = path + ": " + strerrordesc_np(error);
    if (error == EPERM) {
        says += " (kernel lockdown, as with Secure Boot, forbids PCI memory to programs)";
    }
    return {Grant::kFailed, says};
}

/// Answers the device's memory while this lives: firmware does so for devices that it saw, not for
/// one plugged later. In config space, where it can be undone to the last bit; `enable` leaves it
/// switched on in a device that is not ours.
class MemoryDecoding {
public:
    explicit MemoryDecoding(const std::string& device)
        : config_(open((device + "/config").c_str(), O_RDWR | O_CLOEXEC)) {
        if (!config_ ||
            pread(config_.get(), &before_, sizeof before_, kCommandRegister) != sizeof before_ ||
            (before_ & kCommandMemory) != 0) {
            return;
        }
        const std::uint16_t on = before_ | kCommandMemory;
        changed_ = pwrite(config_.get(), &on, sizeof on, kCommandRegister) == sizeof on;
    }
    MemoryDecoding(const MemoryDecoding&) = delete;
    MemoryDecoding& operator=(const MemoryDecoding&) = delete;
    ~MemoryDecoding() {
        if (changed_) {
            changed_ = pwrite(config_.get(), &before_, sizeof before_, kCommandRegister) < 0;
        }
    }

    void keep() { changed_ = false; }

private:
    Descriptor config_;
    std::uint16_t before_ = 0;
    bool changed_ = false;
};

/// kDone: it is ours.
Granted look_for_magic(const std::string& device) {
    const std::string path = device + "/resource2";
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return failed(path);
    }
    struct stat status {};
    if (fstat(file.get(), &status) != 0 || status.st_size < static_cast<off_t>(kPageBytes)) {
        return {Grant::kNotOurs, device + ": no memory of cubar's"};
    }
    void* const page = mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, file.get(), 0);
    if (page == MAP_FAILED) {
        return failed(path);
    }
    const std::uint64_t magic = static_cast<const volatile Header*>(page)->magic;
    munmap(page, kPageBytes);
    return magic == kMagic ? Granted{Grant::kDone, {}}
                           : Granted{Grant::kNotOurs, device + ": no device of cubar's"};
}

/// The kernel counts: one 1 of ours and one 0 of ours leave what others did. Refused where a driver
/// is bound, which then decides itself.
bool write_enable(const std::string& device, const char* value) {
    const std::string path = device + "/enable";
    const Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file && write(file.get(), value, 1) == 1) {
        return true;
    }
    return errno == EBUSY && std::strtoul(read_line(path).c_str(), nullptr, 10) > 0;
}

bool belongs_to(const std::string& path, gid_t group, mode_t mode) {
    struct stat status {};
    return stat(path.c_str(), &status) == 0 && status.st_gid == group &&
           (status.st_mode & 07777) == mode;
}

/// In this order nobody but root and the group can ever open the file.
bool give(const std::string& path, gid_t group, mode_t mode) {
    if (access(path.c_str(), F_OK) != 0) {
        return errno == ENOENT;  // resource2_wc is not there without PAT
    }
    return chmod(path.c_str(), kRootMode) == 0 &&
           chown(path.c_str(), static_cast<uid_t>(-1), group) == 0 &&
           chmod(path.c_str(), mode) == 0;
}

}  // namespace

Granted grant_device(const std::string& device, gid_t group) {
    MemoryDecoding decoding(device);
    if (Granted looked = look_for_magic(device); looked.grant != Grant::kDone) {
        return looked;
    }
    decoding.keep();
    // resource2 is given last, so it tells that all else is done.
    if (belongs_to(path_in(device, kFiles[1]), group, kGroupMode)) {
        return {Grant::kAlready, {}};
    }
    if (!write_enable(device, "1")) {
        return failed(device + "/enable");
    }
    for (const char* file : {kFiles[0], kFiles[2], kFiles[1]}) {
        const std::string path = path_in(device, file);
        if (!give(path, group, kGroupMode)) {
            return failed(path);
        }
    }
    return {Grant::kDone, device + ": enabled, and given to group " + std::to_string(group)};
}

Granted restore_device(const std::string& device, gid_t group) {
    if (!belongs_to(path_in(device, kFiles[1]), group, kGroupMode)) {
        return {Grant::kAlready, {}};
    }
    for (const char* file : {kFiles[1], kFiles[2], kFiles[0]}) {
        const std::string path = path_in(device, file);
        if (!give(path, getegid(), kRootMode)) {
            return failed(path);
        }
    }
    if (!write_enable(device, "0")) {
        return failed(device + "/enable");
    }
    return {Grant::kDone, device + ": root's alone again"};
}

std::vector<std::string> ivshmem_devices(const Root& root) {
    const std::string all = root("/sys/bus/pci/devices");
    std::vector<std::string> found;
    for (const std::string& name : list_directory(all)) {
        const std::string device = path_in(all, name);
        if (read_line(device + "/vendor") == kVendor && read_line(device + "/device") == kDevice) {
            found.push_back(device);
        }
    }
    return found;
}

bool has_memory_file(const std::string& device) {
    return access((device + "/resource2").c_str(), F_OK) == 0;
}

}  // namespace cubar::tools
