// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/unix_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cubar::host {
namespace {

bool make_address(const std::string& path, sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    path.copy(address.sun_path, path.size());
    return true;
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
    throw std::runtime_error(path + ": " + what);
}

}  // namespace

transport::Descriptor connect_to(const std::string& path, int type) {
    sockaddr_un address;
    transport::Descriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!make_address(path, address) || !socket ||
        ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        return {};
    }
    return socket;
}

ListeningSocket::ListeningSocket(std::string path, int type, unsigned mode,
                                 const std::string& group)
    : socket_(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address;
    struct stat status {};
    if (!make_address(path, address)) {
        fail(path, "the path is too long for a socket");
    }
    if (::lstat(path.c_str(), &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) {
            fail(path, "is there already, and is no socket");
        }
        if (connect_to(path, type)) {
            fail(path, "is served by another process");
        }
        ::unlink(path.c_str());
    }
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        fail(path, std::generic_category().message(errno));
    }
    path_ = std::move(path);
    if (!group.empty()) {
        const ::group* entry = ::getgrnam(group.c_str());
        if (entry == nullptr) {
            fail(path_, "there is no group '" + group + "'");
        }
        if (::chown(path_.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
            fail(path_, std::generic_category().message(errno));
        }
    }
    if (::chmod(path_.c_str(), mode) != 0 || ::listen(socket_.get(), 64) != 0) {
        fail(path_, std::generic_category().message(errno));
    }
}

ListeningSocket::ListeningSocket(transport::Descriptor listening) : socket_(std::move(listening)) {
    ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
}

ListeningSocket::~ListeningSocket() {
    if (socket_ && !path_.empty()) {
        ::unlink(path_.c_str());
    }
}

transport::Descriptor ListeningSocket::accept() const {
    return transport::Descriptor(
        ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

}  // namespace cubar::host
