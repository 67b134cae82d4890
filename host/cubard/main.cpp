// SPDX-License-Identifier: Apache-2.0
// cubard: offers the host's GPU to virtual machines, one worker process per guest process.

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "host/cubard/cache_directory.h"
#include "host/cubard/check.h"
#include "host/cubard/config.h"
#include "host/cubard/control_socket.h"
#include "host/cubard/descriptor_store.h"
#include "host/cubard/event_loop.h"
#include "host/cubard/probe.h"
#include "host/cubard/status.h"
#include "host/cubard/telemetry_source.h"
#include "host/cubard/vm.h"
#include "host/cubard/worker_uids.h"

namespace cubar::host {
namespace {

struct Options {
    std::string config = "/etc/cubar/cubard.toml";
    bool check = false;
    std::string local;
    bool remove_directory = false;
    std::string gpu;
    std::string driver;
    bool fences = true;
    std::string worker;
    std::string bar = "16 GiB";
    std::uint32_t channels = kMaxChannels;
    std::uint32_t sessions = kMaxChannels;
    std::string memory;
    std::string cache;
};

constexpr int kBadConfiguration = 2;

void set_up_log() {
    auto log = spdlog::stderr_color_st("cubard");
    // The journal knows time and process; for it the level goes where systemd looks.
    log->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v"
                                                              : "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    spdlog::set_default_logger(std::move(log));
}

VmConfig local_vm(const Options& options) {
    VmConfig vm{.name = "local", .socket = options.local, .local = true, .socket_mode = 0600};
    if (options.cache.empty()) {
        vm.compile_cache = 0;
    }
    vm.channels = options.channels;
    vm.sessions = options.sessions;
    const auto bar = parse_bytes(options.bar);
    if (!bar || !std::has_single_bit(*bar) || *bar > kMaxBarBytes ||
        *bar < smallest_bar(vm.channels)) {
        throw ConfigError("--bar: must be a power of two, at least " +
                          std::to_string(smallest_bar(vm.channels) >> 20) + " MiB for " +
                          std::to_string(vm.channels) + " channels");
    }
    vm.bar_bytes = *bar;
    if (!options.memory.empty()) {
        const auto quota = parse_bytes(options.memory);
        if (!quota) {
            throw ConfigError("--memory: \"" + options.memory +
                              "\" is no size; write one such as \"4GiB\" or \"512MiB\", or bytes");
        }
        vm.memory_quota = *quota;
    }
    return vm;
}

Config configuration(const Options& options) {
    Config config;
    if (options.local.empty()) {
        config = Config::load(options.config);
    } else {
        config.descriptor_store = StoreChoice::kNone;
        config.control = false;
        config.cache_directory = options.cache;
        config.vms.push_back(local_vm(options));
    }
    if (!options.gpu.empty() && !parse_gpu(options.gpu, config.gpu)) {
        throw ConfigError("--gpu: must be auto, soft, nvidia or null");
    }
    if (!options.driver.empty()) {
        config.driver = options.driver;
    }
    config.fences = options.fences;
    return config;
}

Places find_places(const Options& options) {
    Places places = Places::find();
    if (!options.worker.empty()) {
        places.worker = options.worker;
    }
    return places;
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/// What the store has, by VM.
std::map<std::string, Kept> by_vm(Kept&& kept) {
    std::map<std::string, Kept> result;
    for (auto& [name, descriptor] : kept) {
        const std::size_t slash = name.find('/');
        if (slash != std::string::npos) {
            result[name.substr(0, slash)].insert_or_assign(name.substr(slash + 1),
                                                           std::move(descriptor));
        }
    }
    return result;
}

void log_driver(const DriverChoice& choice) {
    spdlog::info("GPU: {} ({}), since {}", gpu_name(choice.program.gpu), choice.program.driver,
                 choice.reason);
    std::string missing;
    for (const std::string& what : choice.isolation.missing) {
        missing += (missing.empty() ? "" : ", ") + what;
    }
    if (!missing.empty()) {
        spdlog::warn("workers run without: {}", missing);
    }
}

/// systemd's watchdog, if it asked for one.
std::unique_ptr<Timer> start_watchdog(EventLoop& loop) {
    std::uint64_t microseconds = 0;
    if (::sd_watchdog_enabled(0, &microseconds) <= 0) {
        return nullptr;
    }
    auto result = std::make_unique<Timer>(loop, [] { ::sd_notify(0, "WATCHDOG=1"); });
    result->repeat(std::chrono::milliseconds{std::max<std::uint64_t>(microseconds / 2000, 1)});
    return result;
}

/// --check: every mistake in one line, for people and editors. The exit code.
int check(const Options& options) {
    std::vector<std::string> wrongs;
    Config config;
    try {
        config = configuration(options);
        wrongs = check_machine(config, options.config, find_places(options));
    } catch (const ConfigError& error) {
        wrongs = error.wrongs();
    }
    for (const std::string& wrong : wrongs) {
        std::fprintf(stderr, "%s\n", wrong.c_str());
    }
    if (!wrongs.empty()) {
        return kBadConfiguration;
    }
    std::printf("%s: good; VMs: %zu\n", options.config.c_str(), config.vms.size());
    return 0;
}

/// cubarctl's socket: systemd's, or one of our own.
ListeningSocket control_listener(const Config& config, transport::Descriptor inherited) {
    return inherited
               ? ListeningSocket(std::move(inherited))
               : ListeningSocket(config.control_socket(), SOCK_STREAM,
                                 config.admin_group.empty() ? 0600 : 0660, config.admin_group);
}

/// Where NVIDIA's driver keeps what it compiles; softgpu compiles nothing. Without it all else
/// works, so what is wrong is only said.
std::optional<CacheRoot> open_caches(const Config& config, Gpu gpu) {
    const auto wants = [](const VmConfig& vm) { return vm.compile_cache != 0; };
    if (gpu != Gpu::kNvidia || std::ranges::none_of(config.vms, wants)) {
        return std::nullopt;
    }
    try {
        std::optional<CacheRoot> caches(std::in_place, config.cache_directory);
        for (const auto& [name, owner] : caches->owners()) {
            if (std::ranges::find(config.vms, name, &VmConfig::name) == config.vms.end()) {
                caches->remove(name);
                spdlog::info("{}: is not configured any more; its compile cache is removed", name);
            }
        }
        return caches;
    } catch (const std::runtime_error& error) {
        spdlog::warn("the driver compiles again what it compiled: {}", error.what());
        return std::nullopt;
    }
}

void serve(const Config& config, const Places& places) {
    EventLoop loop;
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT}) {
        ::sigaddset(&signals, number);
    }
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    const transport::Descriptor signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    const EventLoop::Watch signal_watch =
        loop.watch(signal_fd.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); });

    DriverChoice choice = choose_driver(config, places);
    log_driver(choice);
    WorkerSetting setting{loop, std::move(choice.program), std::move(choice.isolation)};
    std::optional<TelemetrySource> telemetry;
    if (setting.program.gpu == Gpu::kNvidia) {
        setting.telemetry = &telemetry.emplace(setting);
    }
    if ((config.descriptor_store != StoreChoice::kNone || config.control) &&
        ::mkdir(config.runtime_directory.c_str(), 0755) != 0 && errno != EEXIST) {
        throw std::system_error(errno, std::generic_category(), config.runtime_directory);
    }
    const auto store =
        open_descriptor_store(config.descriptor_store, config.runtime_directory, places.keeper);
    if (config.descriptor_store != StoreChoice::kNone) {
        spdlog::info("guests are kept across a restart by {}", store->description());
    }
    std::map<std::string, Kept> kept = by_vm(store->take_back());
    Kept sockets = inherited_sockets();
    const std::optional<CacheRoot> caches = open_caches(config, setting.program.gpu);
    const auto uid_slots =
        assign_uid_slots(config.vms, config.first_worker_uid,
                         caches ? caches->owners() : std::map<std::string, uid_t>{});
    std::map<std::vector<std::string>, ProbeReport> reports;
    std::list<Vm> vms;
    for (const VmConfig& vm : config.vms) {
        if (!reports.contains(vm.devices)) {
            const ProbeResult probe = probe_driver(setting.program, setting.isolation, vm.devices);
            if (!probe.report) {
                throw std::runtime_error(vm.name + ": " + probe.reason);
            }
            reports.emplace(vm.devices, *probe.report);
        }
        const auto& [facts, context_bytes] = reports.at(vm.devices);
        WorkerSetting its = setting;
        its.uid_slot = uid_slots.at(vm.name);
        its.context_bytes.assign(context_bytes, context_bytes + facts.device_count);
        vms.emplace_back(vm, std::move(its), facts, caches ? &*caches : nullptr, *store,
                         std::move(kept[vm.name]),
                         std::move(sockets[vm.name + "/" + kVmSocketName]));
        kept.erase(vm.name);
    }
    for (const auto& [vm, descriptors] : kept) {
        spdlog::warn("{}: is not configured any more; its guest is let go", vm);
        for (const auto& [name, descriptor] : descriptors) {
            store->drop(fmt::format("{}/{}", vm, name));
        }
    }
    const HostStatus host{CUBAR_VERSION, gpu_name(setting.program.gpu), setting.program.driver};
    std::optional<ControlSocket> control;
    if (config.control) {
        control.emplace(
            loop, control_listener(config, std::move(sockets[kControlSocketName])),
            [&](const AdminRequest& request) { return answer_admin(request, host, vms); });
    }
    const auto watchdog = start_watchdog(loop);
    ::sd_notify(0, "READY=1");
    loop.run();
    ::sd_notify(0, "STOPPING=1");
    spdlog::info("stopping");
    for (Vm& vm : vms) {
        vm.stop();
    }
}

int run(int count, char** arguments) {
    Options options;
    CLI::App app{"Offers this host's GPU to virtual machines."};
    app.set_version_flag("--version", std::string("cubard ") + CUBAR_VERSION);
    app.add_option("--config", options.config, "configuration file")->capture_default_str();
    auto* check_flag = app.add_flag("--check", options.check,
                                    "check the configuration against this machine and end");
    app.add_option("--gpu", options.gpu, "auto, soft, nvidia or null");
    app.add_option("--driver", options.driver, "path of the libcuda.so.1 that workers load");
    app.add_option("--fences", options.fences,
                   "on, or off: the host completes every wait, to measure what fences bring");
    app.add_option("--worker", options.worker, "path of the worker program, if not the usual one");
    auto* local = app.add_option("--local", options.local,
                                 "serve programs of this machine at this "
                                 "socket, without any configuration")
                      ->excludes(check_flag);
    app.add_option("--bar", options.bar, "size of the memory")->needs(local)->capture_default_str();
    app.add_option("--channels", options.channels, "number of channels")
        ->needs(local)
        ->check(CLI::Range(1U, static_cast<unsigned>(cubar::kMaxChannels)));
    app.add_option("--sessions", options.sessions, "sessions at once")
        ->needs(local)
        ->check(CLI::Range(1U, static_cast<unsigned>(cubar::kMaxChannels)));
    app.add_option("--memory", options.memory, "quota of GPU memory")->needs(local);
    app.add_option("--cache", options.cache, "directory for what NVIDIA's driver compiles")
        ->needs(local);
    app.add_flag("--remove-directory", options.remove_directory,
                 "at the end, remove the directory that the socket was in")
        ->needs(local);
    CLI11_PARSE(app, count, arguments);
    set_up_log();
    raise_descriptor_limit();
    int result = 0;
    try {
        if (options.check) {
            return check(options);
        }
        serve(configuration(options), find_places(options));
    } catch (const ConfigError& error) {
        for (const std::string& wrong : error.wrongs()) {
            spdlog::error("{}", wrong);
        }
        result = kBadConfiguration;
    } catch (const std::exception& error) {
        spdlog::error("{}", error.what());
        result = 1;
    }
    if (options.remove_directory) {
        ::rmdir(options.local.substr(0, options.local.rfind('/')).c_str());
    }
    return result;
}

}  // namespace
}  // namespace cubar::host

int main(int count, char** arguments) {
    // A command line that cannot be read, or a log that cannot be had.
    try {
        return cubar::host::run(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cubard: %s\n", error.what());
        return 1;
    }
}
