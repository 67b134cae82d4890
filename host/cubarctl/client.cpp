// SPDX-License-Identifier: Apache-2.0
#include "host/cubarctl/client.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "transport/descriptor.h"

namespace cubar::host {
namespace {

constexpr timeval kPatience{.tv_sec = 10, .tv_usec = 0};

/// Of the socket, whose mode says who may connect.
std::string group_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return "that may enter its directory";
    }
    const group* entry = ::getgrgid(status.st_gid);
    return entry != nullptr ? entry->gr_name : std::to_string(status.st_gid);
}

std::string why_not(const std::string& path, int error) {
    switch (error) {
        case ENOENT:
        case ECONNREFUSED:
            return "cubard is not running (nobody listens at " + path +
                   "): systemctl start cubard. If its runtime_directory is another, say so: "
                   "--socket DIRECTORY/control";
        case EACCES:
        case EPERM:
            return "no permission for " + path +
                   ": run this as root, or as a member of the group " + group_of(path);
        default:
            return path + ": " + std::generic_category().message(error);
    }
}

transport::Descriptor connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw ControlError(path + ": too long for a socket");
    }
    path.copy(address.sun_path, path.size());
    transport::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        throw ControlError(why_not(path, errno));
    }
    return socket;
}

}  // namespace

nlohmann::ordered_json ask_cubard(const std::string& path, const AdminRequest& request) {
    const transport::Descriptor socket = connect_to(path);
    const std::string line = to_line(request);
    std::string answer;
    ssize_t length = ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);
    while (length > 0) {
        char bytes[4096];
        length = ::recv(socket.get(), bytes, sizeof bytes, 0);
        answer.append(bytes, length > 0 ? static_cast<std::size_t>(length) : 0);
    }
    if (length < 0 && errno == EAGAIN) {
        throw ControlError("cubard does not answer at " + path + ": journalctl -u cubard");
    }
    auto json = nlohmann::ordered_json::parse(answer, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
        throw ControlError("cubard hung up at " + path +
                           ": too many ask at once, or it is stopping; try again");
    }
    if (json.contains("error") && json["error"].is_string()) {
        throw ControlError(json["error"].get<std::string>());
    }
    return json;
}

}  // namespace cubar::host
