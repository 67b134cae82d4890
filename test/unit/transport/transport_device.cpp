// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "fake_host.h"
#include "transport/channel.h"
#include "transport/local_protocol.h"

namespace cubar::transport::test {

namespace fs = std::filesystem;

namespace {

struct Directory {
    Directory() {
        char name[] = "/tmp/cubar-transport-XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path = name;
        fs::permissions(path, fs::perms{0755});
    }
    ~Directory() { fs::remove_all(path); }
    fs::path path;
};

void write_file(const fs::path& path, const std::string& text) {
    std::ofstream(path) << text;
}

/// A directory that looks like /sys to whoever searches PCI devices in it.
struct Sysfs {
    fs::path add(const std::string& address, const std::string& vendor = "0x1af4",
                 const std::string& device = "0x1110") {
        fs::path path = root.path / "bus/pci/devices" / address;
        fs::create_directories(path);
        write_file(path / "vendor", vendor + "\n");
        write_file(path / "device", device + "\n");
        write_file(path / "resource0", std::string(256, '\0'));
        return path;
    }
    /// One whose BAR2 is the memory of a host.
    fs::path add(const std::string& address, const HostMemory& host) {
        fs::path path = add(address);
        link(path / "resource2", host.file());
        return path;
    }
    static void link(const fs::path& path, int file) {
        fs::create_symlink("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file),
                           path);
    }
    Result<std::unique_ptr<Device>> open(const char* address = nullptr) const {
        return open_pci_device(address, root.path.c_str());
    }
    Error error(const char* address = nullptr) const { return failure(address).error; }
    Failure failure(const char* address = nullptr) const {
        Result<std::unique_ptr<Device>> device = open(address);
        return device ? Failure{} : device.failure();
    }
    Directory root;
};

/// Serves one greeting on a socket.
class Server {
public:
    Server(const fs::path& path, LocalHello hello, std::vector<Descriptor> passed,
           bool speak = true)
        : listener_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path.c_str());
        REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(listen(listener_.get(), 1) == 0);
        thread_ = std::thread([this, hello, passed = std::move(passed), speak]() mutable {
            const Descriptor client(accept(listener_.get(), nullptr, nullptr));
            if (!speak) {
                char byte;
                static_cast<void>(!read(client.get(), &byte, 1));  // until the client gives up
                return;
            }
            iovec part{&hello, sizeof hello};
            alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kLocalMaxDescriptors)] = {};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            if (!passed.empty()) {
                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * passed.size());
                cmsghdr* head = CMSG_FIRSTHDR(&message);
                head->cmsg_level = SOL_SOCKET;
                head->cmsg_type = SCM_RIGHTS;
                head->cmsg_len = CMSG_LEN(sizeof(int) * passed.size());
                for (std::size_t i = 0; i < passed.size(); ++i) {
                    const int number = passed[i].get();
                    std::memcpy(CMSG_DATA(head) + i * sizeof number, &number, sizeof number);
                }
            }
            sendmsg(client.get(), &message, MSG_NOSIGNAL);
        });
    }
    ~Server() { thread_.join(); }

private:
    Descriptor listener_;
    std::thread thread_;
};

LocalHello hello_for(const HostMemory& host) {
    return {kLocalMagic, kLocalVersion, 2 + host.channels(), 0};
}

}  // namespace

TEST_CASE("The local device comes over a socket and works", "[device]") {
    HostMemory host;
    FakeCubard cubard(host);
    Directory directory;
    const std::string path = directory.path / "vm.sock";
    Server server(path, hello_for(host), host.pass_on());
    Result<std::unique_ptr<Device>> device = open_device(("local:" + path).c_str());
    REQUIRE(device);
    REQUIRE((*device)->name() == "local " + path);
    REQUIRE((*device)->wait_policy() == WaitPolicy::kLocal);
    REQUIRE((*device)->memory_type() == MemoryType::kWriteBack);
    REQUIRE((*device)->facts().driver_version == 13000);
    Result<std::unique_ptr<Channel>> channel = Channel::open(**device);
    REQUIRE(channel);
    REQUIRE((*channel)->session_id() == 1000);
    REQUIRE((*channel)->call({}, {}, {}, {}).error == Error::kNone);
}

TEST_CASE("What the local socket may do wrong is told apart", "[device]") {
    HostMemory host;
    Directory directory;
    const std::string path = directory.path / "vm.sock";
    const auto open = [&] {
        Result<std::unique_ptr<Device>> device = open_local_device(path.c_str());
        return device ? Error::kNone : device.failure().error;
    };
    LocalHello hello = hello_for(host);
    SECTION("nobody is there") {
        REQUIRE(open() == Error::kHostAbsent);
    }
    SECTION("a path that is none") {
        REQUIRE(open_local_device(std::string(200, 'x').c_str()).failure().error ==
                Error::kBadSelection);
    }
    SECTION("a stranger greets") {
        hello.magic = 1;
        Server server(path, hello, host.pass_on());
        REQUIRE(open() == Error::kSocketFailed);
    }
    SECTION("another version") {
        hello.version = 2;
        Server server(path, hello, host.pass_on());
        REQUIRE(open() == Error::kSocketFailed);
    }
    SECTION("descriptors are missing") {
        std::vector<Descriptor> passed = host.pass_on();
        passed.pop_back();
        hello.descriptor_count -= 1;
        Server server(path, hello, std::move(passed));
        REQUIRE(open() == Error::kSocketFailed);
    }
    SECTION("no descriptors") {
        Server server(path, hello, {});
        REQUIRE(open() == Error::kSocketFailed);
    }
    SECTION("nobody speaks") {
        Server server(path, hello, {}, false);
        REQUIRE(open() == Error::kSocketFailed);
    }
}

TEST_CASE("A selection that is none is refused", "[device]") {
    REQUIRE(open_device("usb:1").failure().error == Error::kBadSelection);
    REQUIRE(open_device("pci:../../../tmp").failure().error == Error::kBadSelection);
}

TEST_CASE("The PCI device is found by id and magic", "[device]") {
    HostMemory host;
    HostMemory foreign;
    foreign.header().magic = 0;
    Sysfs sysfs;
    sysfs.add("0000:00:01.0", "0x8086", "0x1237");
    sysfs.add("0000:00:02.0", foreign);
    const fs::path path = sysfs.add("0000:00:05.0", host);
    REQUIRE(sysfs.error("0000:00:02.0") == Error::kNotOurs);
    REQUIRE(sysfs.error("0000:00:01.0") == Error::kNoDevice);
    REQUIRE(sysfs.error("0000:00:09.0") == Error::kNoDevice);

    Result<std::unique_ptr<Device>> device = sysfs.open();
    REQUIRE(device);
    REQUIRE((*device)->name() == std::string("PCI 0000:00:05.0"));
    REQUIRE((*device)->wait_policy() == WaitPolicy::kVm);

    (*device)->ring_doorbell(5);
    std::ifstream registers(path / "resource0", std::ios::binary);
    registers.seekg(12);
    std::uint32_t value = 0;
    registers.read(reinterpret_cast<char*>(&value), sizeof value);
    REQUIRE(value == 5u << 16);

    Result<Descriptor> one = (*device)->open_lock_file();
    REQUIRE(one);
}

TEST_CASE("Bulk memory is mapped write-combining where the kernel offers it", "[device]") {
    HostMemory host;
    HostMemory combining;
    Sysfs sysfs;
    const fs::path path = sysfs.add("0000:00:05.0", host);
    const bool offered = GENERATE(true, false);
    if (offered) {
        Sysfs::link(path / "resource2_wc", combining.file());
    }
    host.arena()[0] = std::byte{1};
    combining.arena()[0] = std::byte{2};
    Result<std::unique_ptr<Device>> device = sysfs.open();
    REQUIRE(device);
    Mapping page = std::move(*Mapping::reserve(kPageBytes));
    const std::uint64_t arena = host.header().arena_offset;
    REQUIRE_FALSE((*device)->map(page, page.bytes(), arena, Caching::kControl));
    REQUIRE(page.data()[0] == std::byte{1});
    REQUIRE_FALSE((*device)->map(page, page.bytes(), arena, Caching::kBulk));
    REQUIRE(page.data()[0] == std::byte{offered ? std::uint8_t{2} : std::uint8_t{1}});
}

TEST_CASE("A session runs over the PCI device without anybody waking the guest", "[device]") {
    HostMemory host;
    FakeCubard cubard(host);
    Sysfs sysfs;
    sysfs.add("0000:00:05.0", host);
    Result<std::unique_ptr<Device>> device = sysfs.open();
    REQUIRE(device);
    // The doorbell is a register here, not an eventfd: somebody must play the hypervisor.
    std::atomic<bool> stop{false};
    std::thread hypervisor([&] {
        const std::uint64_t one = 1;
        while (!stop) {
            static_cast<void>(!write(host.cubard_doorbell(), &one, sizeof one));
            static_cast<void>(!write(host.worker_doorbell(0), &one, sizeof one));
            std::this_thread::yield();
        }
    });
    {
        Result<std::unique_ptr<Channel>> channel = Channel::open(**device);
        CHECK(channel);
        for (unsigned i = 0; channel && i < 100; ++i) {
            CHECK((*channel)->call({}, {}, {}, {}).error == Error::kNone);
        }
    }
    stop = true;
    hypervisor.join();
}

TEST_CASE("What may be wrong with a BAR is told apart", "[device]") {
    HostMemory host;
    Sysfs sysfs;
    SECTION("no device at all") {
        REQUIRE(sysfs.error() == Error::kNoDevice);
    }
    SECTION("no PCI at all") {
        REQUIRE(open_pci_device(nullptr, "/nonexistent").failure().error == Error::kNoDevice);
    }
    SECTION("header") {
        sysfs.add("0000:00:05.0", host);
        Header& header = host.header();
        SECTION("not ours") {
            header.magic = 1;
            REQUIRE(sysfs.error() == Error::kNotOurs);
        }
        SECTION("switched off") {
            header.magic = ~std::uint64_t{0};
            REQUIRE(sysfs.error() == Error::kNotEnabled);
        }
        SECTION("another layout") {
            header.layout_version = kLayoutVersion + 1;
            REQUIRE(sysfs.error() == Error::kLayoutVersion);
        }
        SECTION("too small") {
            header.bar_bytes += kGranuleBytes;
            REQUIRE(sysfs.error() == Error::kTooSmall);
        }
        SECTION("another channel size") {
            header.channel_stride = 4096;
            REQUIRE(sysfs.error() == Error::kBadHeader);
        }
        SECTION("too many channels") {
            header.channel_count = kMaxChannels + 1;
            REQUIRE(sysfs.error() == Error::kBadHeader);
        }
        SECTION("channels outside") {
            header.channels_offset = header.bar_bytes - kPageBytes;
            REQUIRE(sysfs.error() == Error::kBadHeader);
        }
        SECTION("arena outside") {
            header.arena_offset = ~std::uint64_t{0} - kPageBytes + 1;
            REQUIRE(sysfs.error() == Error::kBadHeader);
        }
        SECTION("facts outside") {
            header.facts_offset = header.bar_bytes;
            REQUIRE(sysfs.error() == Error::kBadHeader);
        }
        SECTION("nobody serves it") {
            header.host_state.store(static_cast<std::uint32_t>(HostState::kAbsent));
            REQUIRE(sysfs.error() == Error::kHostAbsent);
        }
        SECTION("its host is leaving") {
            header.host_state.store(static_cast<std::uint32_t>(HostState::kStopping));
            REQUIRE(sysfs.error() == Error::kHostAbsent);
        }
    }
    SECTION("less than a page") {
        const fs::path path = sysfs.add("0000:00:05.0");
        write_file(path / "resource2", "tiny");
        REQUIRE(sysfs.error() == Error::kTooSmall);
    }
    SECTION("not readable: the group is named") {
        const fs::path path = sysfs.add("0000:00:05.0");
        write_file(path / "resource2", "secret");
        fs::permissions(path / "resource2", fs::perms{0});
        const int pid = in_child([&] {
            if (geteuid() == 0 && seteuid(65534) != 0) {
                return 2;
            }
            const Failure failure = sysfs.failure();
            const bool group = std::strstr(failure.detail, "belongs to group ") != nullptr;
            return failure.error == Error::kNotPermitted && group ? 0 : 1;
        });
        REQUIRE(exit_of(pid) == 0);
    }
    SECTION("a kernel that forbids mapping it") {
        // A sealed memory file answers a shared writable mapping as a locked-down kernel does.
        const Descriptor sealed(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        REQUIRE(ftruncate(sealed.get(), static_cast<off_t>(host.bytes())) == 0);
        REQUIRE(pwrite(sealed.get(), &host.header(), sizeof(Header), 0) == sizeof(Header));
        REQUIRE(fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_WRITE) == 0);
        const fs::path path = sysfs.add("0000:00:05.0");
        Sysfs::link(path / "resource2", sealed.get());
        Result<std::unique_ptr<Device>> device = sysfs.open();
        // Kernels before 6.7 refuse read-only mappings of such a file too.
        const Error error = device ? Claim::take(**device).failure().error : device.failure().error;
        REQUIRE(error == Error::kLockdown);
    }
}

}  // namespace cubar::transport::test
