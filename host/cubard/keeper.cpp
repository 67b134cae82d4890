// SPDX-License-Identifier: Apache-2.0
// cubar-keeper: holds descriptors by name for a cubard that comes and goes, where no systemd does.
//
// Started by cubard with a listening socket as descriptor 3 and its path as argument. A name is
// "VM/what". When the other end of a kept socket (QEMU's) hangs up while no cubard is there, all of
// that VM goes. The keeper ends when it keeps nothing and nobody is connected.

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/cubard/keeper_protocol.h"
#include "host/cubard/packet.h"
#include "transport/descriptor.h"

namespace cubar::host {
namespace {

constexpr int kListener = 3;

class Keeper {
public:
    /// Until there is nothing left to do.
    void run() {
        do {
            wait();
        } while (client_ || !kept_.empty());
    }

private:
    void wait() {
        std::vector<pollfd> ready{{kListener, POLLIN, 0}, {client_.get(), POLLIN, 0}};
        std::vector<std::string> names;
        if (!client_) {
            for (const auto& [name, descriptor] : kept_) {
                if (name.ends_with("/qemu")) {
                    ready.push_back({descriptor.get(), 0, 0});
                    names.push_back(name);
                }
            }
        }
        if (::poll(ready.data(), ready.size(), -1) < 0) {
            return;
        }
        for (std::size_t i = 0; i < names.size(); ++i) {
            if ((ready[i + 2].revents & (POLLHUP | POLLERR)) != 0) {
                forget_vm(names[i]);
            }
        }
        if (ready[1].revents != 0) {
            serve();
        }
        if (ready[0].revents != 0) {
            accept();
        }
    }

    void accept() {
        transport::Descriptor next(::accept4(kListener, nullptr, nullptr, SOCK_CLOEXEC));
        ucred peer{};
        socklen_t size = sizeof peer;
        const bool own = next &&
                         ::getsockopt(next.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
                         (peer.uid == ::geteuid() || peer.uid == 0);
        // What an earlier cubard still said, and its end, come before its successor.
        pollfd earlier{client_.get(), POLLIN, 0};
        while (client_ && ::poll(&earlier, 1, 0) > 0) {
            serve();
        }
        if (own && !client_) {
            client_ = std::move(next);
        }
    }

    void serve() {
        Packet packet;
        const Receipt receipt = receive_packet(client_.get(), sizeof(KeeperMessage) + 1, 1, packet);
        if (receipt == Receipt::kNothingYet) {
            return;
        }
        const auto message = KeeperMessage::decode(packet.bytes);
        if (receipt == Receipt::kEnd || !message) {
            client_.reset();
            return;
        }
        switch (message->request) {
            case KeeperRequest::kKeep:
                if (!packet.descriptors.empty() && kept_.size() < kMaxKept) {
                    kept_.insert_or_assign(message->name, std::move(packet.descriptors.front()));
                }
                break;
            case KeeperRequest::kDrop:
                kept_.erase(message->name);
                break;
            case KeeperRequest::kTakeBack:
                give_back();
                break;
        }
    }

    void give_back() {
        for (const auto& [name, descriptor] : kept_) {
            const int fd = descriptor.get();
            say(KeeperMessage::make(KeeperRequest::kKeep, name), {&fd, 1});
        }
        say(KeeperMessage::make(KeeperRequest::kTakeBack, ""), {});
    }

    void say(const KeeperMessage& message, std::span<const int> descriptors) {
        while (client_ &&
               send_packet(client_.get(), std::as_bytes(std::span(&message, 1)), descriptors) < 0) {
            pollfd room{client_.get(), POLLOUT, 0};
            if (errno != EAGAIN || ::poll(&room, 1, 5000) <= 0) {
                client_.reset();
            }
        }
    }

    void forget_vm(const std::string& name) {
        const std::string prefix = name.substr(0, name.find('/') + 1);
        std::erase_if(kept_, [&](const auto& entry) { return entry.first.starts_with(prefix); });
    }

    transport::Descriptor client_;
    std::map<std::string, transport::Descriptor> kept_;
};

}  // namespace
}  // namespace cubar::host

int main(int count, char** arguments) {
    ::signal(SIGPIPE, SIG_IGN);
    if (count != 2) {
        return 2;
    }
    cubar::host::Keeper().run();
    ::unlink(arguments[1]);
    return 0;
}
