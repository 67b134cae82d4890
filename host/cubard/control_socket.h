// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include "host/common/admin_request.h"
#include "host/cubard/event_loop.h"
#include "host/cubard/unix_socket.h"

namespace cubar::host {

/// Where cubarctl asks. One connection brings one request and gets one answer.
class ControlSocket {
public:
    /// Answers with one line of JSON, without its end.
    using Handler = std::function<std::string(const AdminRequest&)>;

    ControlSocket(EventLoop& loop, ListeningSocket listener, Handler handler);
    ControlSocket(const ControlSocket&) = delete;
    ControlSocket& operator=(const ControlSocket&) = delete;

    /// More at once are turned away.
    static constexpr std::size_t kMaxConnections = 16;
    /// Who is slower than this is hung up on.
    static constexpr std::chrono::milliseconds kPatience{5000};

private:
    struct Connection {
        transport::Descriptor socket;
        std::string request;
        std::string answer;  ///< what is left of it
        std::optional<Timer> patience;
        EventLoop::Watch watch;
    };
    using Place = std::list<Connection>::iterator;

    void on_connection();
    void on_event(Place connection);
    /// False when the connection is over.
    bool read(Connection& connection);
    bool write(Connection& connection);

    EventLoop& loop_;
    Handler handler_;
    ListeningSocket listener_;
    std::list<Connection> connections_;
    EventLoop::Watch listener_watch_;
};

/// {"error": what}
std::string error_answer(const std::string& what);

}  // namespace cubar::host
