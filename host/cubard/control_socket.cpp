// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/control_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

namespace cubar::host {

std::string error_answer(const std::string& what) {
    return nlohmann::json{{"error", what}}.dump(-1, ' ', true,
                                                nlohmann::json::error_handler_t::replace);
}

ControlSocket::ControlSocket(EventLoop& loop, ListeningSocket listener, Handler handler)
    : loop_(loop), handler_(std::move(handler)), listener_(std::move(listener)) {
    listener_watch_ =
        loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); });
}

void ControlSocket::on_connection() {
    transport::Descriptor socket = listener_.accept();
    if (!socket || connections_.size() >= kMaxConnections) {
        return;
    }
    connections_.emplace_front().socket = std::move(socket);
    const Place place = connections_.begin();
    place->patience.emplace(loop_, [this, place] { connections_.erase(place); });
    place->patience->arm(kPatience);
    place->watch = loop_.watch(place->socket.get(), EPOLLIN,
                               [this, place](std::uint32_t) { on_event(place); });
}

void ControlSocket::on_event(Place connection) {
    const bool going_on = connection->answer.empty() ? read(*connection) : write(*connection);
    if (!going_on) {
        connections_.erase(connection);
    }
}

bool ControlSocket::read(Connection& connection) {
    char bytes[1024];
    const ssize_t length = ::recv(connection.socket.get(), bytes, sizeof bytes, 0);
    if (length <= 0) {
        return length < 0 && (errno == EAGAIN || errno == EINTR);
    }
    connection.request.append(bytes, static_cast<std::size_t>(length));
    const std::size_t end = connection.request.find('\n');
    if (end == std::string::npos && connection.request.size() < kMaxAdminRequest) {
        return true;
    }
    const auto request = end != std::string::npos
                             ? decode_admin_request(connection.request.substr(0, end))
                             : std::nullopt;
    connection.answer =
        (request ? handler_(*request)
                 : error_answer("cubard does not understand this; is cubarctl of its version?")) +
        "\n";
    connection.watch.wait_for(EPOLLOUT);
    return true;
}

bool ControlSocket::write(Connection& connection) {
    const ssize_t length = ::send(connection.socket.get(), connection.answer.data(),
                                  connection.answer.size(), MSG_NOSIGNAL);
    if (length < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    connection.answer.erase(0, static_cast<std::size_t>(length));
    return !connection.answer.empty();
}

}  // namespace cubar::host
