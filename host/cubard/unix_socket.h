// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "transport/descriptor.h"

namespace cubar::host {

/// A listening socket at `path` that belongs to this process: removed when it goes. A socket that
/// a dead process left there is replaced; one that somebody serves is an error.
class ListeningSocket {
public:
    ListeningSocket() = default;
    /// `type`: SOCK_STREAM or SOCK_SEQPACKET. Throws std::runtime_error with the reason.
    ListeningSocket(std::string path, int type, unsigned mode, const std::string& group = {});
    /// One that listens already and whose path is somebody else's, systemd's above all.
    explicit ListeningSocket(transport::Descriptor listening);
    ListeningSocket(ListeningSocket&&) = default;
    ListeningSocket& operator=(ListeningSocket&&) = default;
    ~ListeningSocket();

    int get() const { return socket_.get(); }
    /// Leaves the path to whoever got a duplicate of the socket.
    void leave() { path_.clear(); }
    /// A connection, non-blocking; empty where there is none.
    transport::Descriptor accept() const;

private:
    std::string path_;
    transport::Descriptor socket_;
};

/// Empty, with errno, where nobody listens.
transport::Descriptor connect_to(const std::string& path, int type);

}  // namespace cubar::host
