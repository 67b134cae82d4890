// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/descriptor_store.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <utility>
#include <vector>

#include "host/cubard/keeper_protocol.h"
#include "host/cubard/packet.h"
#include "host/cubard/unix_socket.h"

namespace cubar::host {
namespace {

/// What systemd handed over: the sockets that listen, or all else.
Kept inherited(bool listening) {
    Kept result;
    char** names = nullptr;
    const int count = ::sd_listen_fds_with_names(0, &names);
    for (int i = 0; i < count; ++i) {
        const int fd = SD_LISTEN_FDS_START + i;
        if ((::sd_is_socket(fd, AF_UNIX, 0, 1) > 0) == listening) {
            ::fcntl(fd, F_SETFD, FD_CLOEXEC);
            result.insert_or_assign(names[i], transport::Descriptor(fd));
        }
        std::free(names[i]);
    }
    std::free(names);
    return result;
}

class NoStore final : public DescriptorStore {
public:
    void keep(const std::string&, int) override {}
    void drop(const std::string&) override {}
    Kept take_back() override { return {}; }
    const char* description() const override { return "nothing (the guests end with cubard)"; }
};

class SystemdStore final : public DescriptorStore {
public:
    void keep(const std::string& name, int descriptor) override {
        const std::string message = "FDSTORE=1\nFDNAME=" + name;
        if (::sd_pid_notify_with_fds(0, 0, message.c_str(), &descriptor, 1) < 0) {
            spdlog::warn("systemd does not keep {}: the VM will not survive a restart", name);
        }
    }
    void drop(const std::string& name) override {
        const std::string message = "FDSTOREREMOVE=1\nFDNAME=" + name;
        ::sd_notify(0, message.c_str());
    }
    Kept take_back() override { return inherited(/*listening=*/false); }
    const char* description() const override { return "systemd's descriptor store"; }
};

class KeeperStore final : public DescriptorStore {
public:
    explicit KeeperStore(transport::Descriptor socket) : socket_(std::move(socket)) {}

    void keep(const std::string& name, int descriptor) override {
        send(KeeperMessage::make(KeeperRequest::kKeep, name), {&descriptor, 1});
    }
    void drop(const std::string& name) override {
        send(KeeperMessage::make(KeeperRequest::kDrop, name), {});
    }
    Kept take_back() override {
        Kept kept;
        send(KeeperMessage::make(KeeperRequest::kTakeBack, ""), {});
        for (;;) {
            pollfd ready{socket_.get(), POLLIN, 0};
            if (::poll(&ready, 1, kAnswerMs) <= 0) {
                throw std::runtime_error("cubar-keeper does not answer");
            }
            Packet packet;
            if (receive_packet(socket_.get(), sizeof(KeeperMessage) + 1, 1, packet) !=
                Receipt::kPacket) {
                throw std::runtime_error("cubar-keeper has ended");
            }
            const auto message = KeeperMessage::decode(packet.bytes);
            if (!message || message->request == KeeperRequest::kTakeBack ||
                packet.descriptors.empty()) {
                return kept;
            }
            kept.insert_or_assign(message->name, std::move(packet.descriptors.front()));
        }
    }
    const char* description() const override { return "cubar-keeper"; }

private:
    static constexpr int kAnswerMs = 5000;

    void send(const KeeperMessage& message, std::span<const int> descriptors) {
        const auto bytes = std::as_bytes(std::span(&message, 1));
        while (send_packet(socket_.get(), bytes, descriptors) < 0) {
            pollfd room{socket_.get(), POLLOUT, 0};
            if (errno != EAGAIN || ::poll(&room, 1, kAnswerMs) <= 0) {
                spdlog::warn("cubar-keeper is gone: {} would not survive a restart", message.name);
                return;
            }
        }
    }

    transport::Descriptor socket_;
};

/// Starts the keeper apart from cubard: a session of its own, no descriptor of ours. It is handed
/// a listening socket, so that nobody can come before it.
transport::Descriptor start_keeper(const std::string& path, const std::string& program) {
    int listener = -1;
    {
        ListeningSocket socket(path, SOCK_SEQPACKET, 0600);
        listener = ::fcntl(socket.get(), F_DUPFD_CLOEXEC, 3);
        // The keeper owns the path now.
        socket.leave();
    }
    const transport::Descriptor owner(listener);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::setsid();
        if (::fork() != 0) {
            ::_exit(0);
        }
        const int null = ::open("/dev/null", O_RDWR);
        for (const int fd : {0, 1, 2}) {
            ::dup2(null, fd);
        }
        ::dup2(listener, 3);
        ::fcntl(3, F_SETFD, 0);
        ::close_range(4, ~0U, 0);
        if (::chdir("/") != 0) {
            ::_exit(126);
        }
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::execl(program.c_str(), "cubar-keeper", path.c_str(), nullptr);
        ::_exit(127);
    }
    if (pid > 0) {
        ::waitpid(pid, nullptr, 0);
    }
    return connect_to(path, SOCK_SEQPACKET);
}

std::unique_ptr<DescriptorStore> open_keeper(const std::string& directory,
                                             const std::string& program) {
    const std::string path = directory + "/keeper";
    transport::Descriptor socket = connect_to(path, SOCK_SEQPACKET);
    if (!socket) {
        if (::access(program.c_str(), X_OK) != 0) {
            throw std::runtime_error(program + " cannot be executed");
        }
        socket = start_keeper(path, program);
    }
    if (!socket) {
        throw std::runtime_error("cubar-keeper cannot be reached at " + path);
    }
    return std::make_unique<KeeperStore>(std::move(socket));
}

}  // namespace

Kept inherited_sockets() {
    return inherited(/*listening=*/true);
}

std::unique_ptr<DescriptorStore> open_descriptor_store(StoreChoice choice,
                                                       const std::string& runtime_directory,
                                                       const std::string& keeper_program) {
    // systemd 254 and newer set FDSTORE; our unit does for older ones.
    const bool systemd =
        std::getenv("NOTIFY_SOCKET") != nullptr && std::getenv("FDSTORE") != nullptr;
    switch (choice) {
        case StoreChoice::kNone:
            return std::make_unique<NoStore>();
        case StoreChoice::kSystemd:
            if (!systemd) {
                throw std::runtime_error("there is no descriptor store of systemd's here");
            }
            return std::make_unique<SystemdStore>();
        case StoreChoice::kAuto:
            if (systemd) {
                return std::make_unique<SystemdStore>();
            }
            break;
        case StoreChoice::kKeeper:
            break;
    }
    return open_keeper(runtime_directory, keeper_program);
}

}  // namespace cubar::host
