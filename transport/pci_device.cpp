// SPDX-License-Identifier: Apache-2.0
// The device as a guest sees it: an ivshmem-doorbell PCI function, used through sysfs.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "transport/device.h"

namespace cubar::transport {

namespace {

// The id that QEMU's ivshmem devices share: any program's shared memory may stand behind it.
constexpr unsigned long kVendor = 0x1af4;
constexpr unsigned long kDeviceId = 0x1110;
constexpr std::size_t kDoorbellOffset = 12;
constexpr unsigned kPeerShift = 16;  // the low half selects the vector: 0

constexpr std::size_t kPathBytes = 512;
constexpr std::size_t kAddressBytes = 16;  // "0000:00:04.0" and its terminator, and some

struct Path {
    char text[kPathBytes];
};

Path path_of(const char* sysfs, const char* address, const char* file) {
    Path path;
    std::snprintf(path.text, sizeof path.text, "%s/bus/pci/devices/%s/%s", sysfs, address, file);
    return path;
}

bool read_number(const Path& path, unsigned long& number) {
    const Descriptor file(open(path.text, O_RDONLY | O_CLOEXEC));
    char text[32] = {};
    if (!file || read(file.get(), text, sizeof text - 1) <= 0) {
        return false;
    }
    char* end = nullptr;
    number = std::strtoul(text, &end, 0);
    return end != text;
}

bool is_ivshmem(const char* sysfs, const char* address) {
    unsigned long vendor = 0;
    unsigned long device = 0;
    return read_number(path_of(sysfs, address, "vendor"), vendor) && vendor == kVendor &&
           read_number(path_of(sysfs, address, "device"), device) && device == kDeviceId;
}

Failure not_opened(const Path& path, int error) {
    struct stat status {};
    if (error == EACCES && stat(path.text, &status) == 0) {
        char name[64];
        std::snprintf(name, sizeof name, "%u", status.st_gid);
        group entry{};
        group* found = nullptr;
        char buffer[1024];
        getgrgid_r(status.st_gid, &entry, buffer, sizeof buffer, &found);
        return Failure::make(Error::kNotPermitted, error,
                             "%s belongs to group %s (mode %o), of which this user is no member",
                             path.text, found != nullptr ? entry.gr_name : name,
                             status.st_mode & 0777);
    }
    if (error == EPERM) {
        return Failure::make(Error::kLockdown, error,
                             "%s: the kernel forbids opening it (lockdown, as with Secure Boot)",
                             path.text);
    }
    return Failure::make(error == EACCES ? Error::kNotPermitted : Error::kNoDevice, error, "%s: %s",
                         path.text, strerrordesc_np(error));
}

class PciDevice final : public Device {
public:
    Failure open(const char* sysfs, const char* address) {
        set_name("PCI", address);
        set_wait_policy(WaitPolicy::kVm);
        memory_path_ = path_of(sysfs, address, "resource2");
        const Path registers = path_of(sysfs, address, "resource0");
        const Path combining = path_of(sysfs, address, "resource2_wc");

        memory_ = Descriptor(::open(memory_path_.text, O_RDWR | O_CLOEXEC));
        if (!memory_) {
            return not_opened(memory_path_, errno);
        }
        const Descriptor doorbell(::open(registers.text, O_RDWR | O_CLOEXEC));
        if (!doorbell) {
            return not_opened(registers, errno);
        }
        // Absent where the BAR is not prefetchable or PAT is off: bulk is then mapped plainly.
        combining_ = Descriptor(::open(combining.text, O_RDWR | O_CLOEXEC));
        if (!combining_ && errno != ENOENT) {
            return not_opened(combining, errno);
        }
        struct stat status {};
        if (fstat(memory_.get(), &status) != 0) {
            return not_opened(memory_path_, errno);
        }
        if (Failure failure = open_memory(static_cast<std::uint64_t>(status.st_size))) {
            return failure;
        }
        Result<Mapping> page = Mapping::reserve(kPageBytes);
        if (!page) {
            return page.failure();
        }
        doorbell_page_ = std::move(*page);
        return doorbell_page_.map(doorbell.get(), 0, doorbell_page_.bytes(), true);
    }

    void ring_doorbell(std::uint32_t peer) const override {
        *reinterpret_cast<volatile std::uint32_t*>(doorbell_page_.data() + kDoorbellOffset) =
            peer << kPeerShift;
    }

    // resource2 itself: whoever may use the device can lock it. A sysfs mounted for another network
    // namespace is another file; Claim deals with that.
    Result<Descriptor> open_lock_file() const override {
        Descriptor file(::open(memory_path_.text, O_RDWR | O_CLOEXEC));
        if (!file) {
            return not_opened(memory_path_, errno);
        }
        return file;
    }

    void use_channel(unsigned) override {}

protected:
    int memory_file(Caching caching) const override {
        return caching == Caching::kBulk && combining_ ? combining_.get() : memory_.get();
    }

private:
    Path memory_path_{};
    Descriptor memory_;
    Descriptor combining_;
    Mapping doorbell_page_;
};

Result<std::unique_ptr<Device>> open_at(const char* sysfs, const char* address) {
    std::unique_ptr<PciDevice> device(new (std::nothrow) PciDevice);
    if (device == nullptr) {
        return Failure::make(Error::kNoMemory, ENOMEM, "allocating");
    }
    if (Failure failure = device->open(sysfs, address)) {
        return failure;
    }
    return std::unique_ptr<Device>(std::move(device));
}

/// The entry of the directory that comes next after `after` in order of address. readdir() has no
/// order of its own, and the choice among several devices must not change from run to run.
bool next_address(const char* directory, char (&after)[kAddressBytes]) {
    DIR* const stream = opendir(directory);
    if (stream == nullptr) {
        return false;
    }
    char best[kAddressBytes] = {};
    while (const dirent* entry = readdir(stream)) {
        const std::size_t length = std::strlen(entry->d_name);
        if (entry->d_name[0] != '.' && length < kAddressBytes &&
            std::strcmp(entry->d_name, after) > 0 &&
            (best[0] == '\0' || std::strcmp(entry->d_name, best) < 0)) {
            std::memcpy(best, entry->d_name, length + 1);
        }
    }
    closedir(stream);
    std::memcpy(after, best, sizeof best);
    return best[0] != '\0';
}

}  // namespace

Result<std::unique_ptr<Device>> open_pci_device(const char* address, const char* sysfs) {
    if (address != nullptr) {
        if (std::strlen(address) >= kAddressBytes || std::strchr(address, '/') != nullptr) {
            return Failure::make(Error::kBadSelection, 0,
                                 "\"%s\" is no PCI address like 0000:00:04.0", address);
        }
        if (!is_ivshmem(sysfs, address)) {
            return Failure::make(Error::kNoDevice, 0, "%s is no device with id %04lx:%04lx",
                                 address, kVendor, kDeviceId);
        }
        return open_at(sysfs, address);
    }
    char directory[kPathBytes];
    std::snprintf(directory, sizeof directory, "%s/bus/pci/devices", sysfs);
    Failure reason =
        Failure::make(Error::kNoDevice, 0, "no PCI device with id %04lx:%04lx", kVendor, kDeviceId);
    for (char at[kAddressBytes] = {}; next_address(directory, at);) {
        if (!is_ivshmem(sysfs, at)) {
            continue;
        }
        Result<std::unique_ptr<Device>> device = open_at(sysfs, at);
        if (device) {
            return device;
        }
        // What is wrong with our own device says more than that another one is not ours.
        if (reason.error == Error::kNoDevice || reason.error == Error::kNotOurs) {
            reason = device.failure();
        }
    }
    return reason;
}

}  // namespace cubar::transport
