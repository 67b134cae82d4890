// SPDX-License-Identifier: Apache-2.0
// cubarctl: shows what a running cubard serves, and ends sessions.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "host/cubarctl/client.h"
#include "host/cubarctl/tables.h"

namespace cubar::host {
namespace {

struct Options {
    std::string socket = "/run/cubar/control";
    bool json = false;
    std::string vm;
    std::string session;
};

/// VM/NUMBER, as the table of sessions writes it.
AdminRequest kill_request(const std::string& session) {
    const std::size_t slash = session.rfind('/');
    AdminRequest request{.command = AdminCommand::kKill, .vm = session.substr(0, slash)};
    const char* last = session.data() + session.size();
    const char* number = slash != std::string::npos ? session.data() + slash + 1 : last;
    const auto [end, error] = std::from_chars(number, last, request.session);
    if (error != std::errc{} || end != last) {
        throw ControlError("'" + session +
                           "' is no session: write VM/NUMBER, as cubarctl sessions shows it");
    }
    return request;
}

void say(const std::string& text) {
    std::fputs(text.c_str(), stdout);
}

void show(const CLI::App& app, const Options& options) {
    const nlohmann::ordered_json status = ask_cubard(options.socket, {});
    const auto named = [&](const auto& vm) { return vm.at("name") == options.vm; };
    if (!options.vm.empty() && std::ranges::none_of(status.at("vms"), named)) {
        throw ControlError("there is no VM '" + options.vm + "'; cubarctl vms lists them");
    }
    if (options.json) {
        say(status.dump(2) + "\n");
    } else if (app.got_subcommand("vms")) {
        say(table_of_vms(status));
    } else if (app.got_subcommand("sessions")) {
        say(table_of_sessions(status, options.vm));
    } else {
        say(table_of_usage(status));
    }
}

void end_sessions(const AdminRequest& request, const Options& options) {
    const nlohmann::ordered_json answer = ask_cubard(options.socket, request);
    say(options.json ? answer.dump() + "\n"
                     : "sessions ended: " + answer.at("ended").dump() + "\n");
}

int run(int count, char** arguments) {
    Options options;
    CLI::App app{"Shows what cubard serves, and ends sessions."};
    app.set_version_flag("--version", std::string("cubarctl ") + CUBAR_VERSION);
    app.add_option("--socket", options.socket, "where cubard listens")->capture_default_str();
    app.add_flag("--json", options.json, "print JSON; the three tables have the same");
    app.require_subcommand(1);
    app.fallthrough();
    app.add_subcommand("vms", "the configured VMs");
    app.add_subcommand("sessions", "the processes that use the GPU")
        ->add_option("VM", options.vm, "of this VM only");
    app.add_subcommand("usage", "the memory that each VM uses of each device");
    auto* kill = app.add_subcommand("kill", "end a session; its process gets CUDA errors");
    kill->add_option("SESSION", options.session, "VM/NUMBER")->required();
    auto* reset = app.add_subcommand("reset", "end all sessions of a VM");
    reset->add_option("VM", options.vm, "the VM's name")->required();
    CLI11_PARSE(app, count, arguments);
    if (kill->parsed()) {
        end_sessions(kill_request(options.session), options);
    } else if (reset->parsed()) {
        end_sessions({.command = AdminCommand::kReset, .vm = options.vm}, options);
    } else {
        show(app, options);
    }
    return 0;
}

}  // namespace
}  // namespace cubar::host

int main(int count, char** arguments) {
    try {
        return cubar::host::run(count, arguments);
    } catch (const nlohmann::json::exception&) {
        std::fputs("cubarctl: cubard's answer is of another version: restart cubard\n", stderr);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cubarctl: %s\n", error.what());
    }
    return 1;
}
