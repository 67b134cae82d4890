// SPDX-License-Identifier: Apache-2.0
// cubar-worker: executes one guest process's records on a CUDA driver. Started by cubard.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <future>
#include <memory>
#include <system_error>

#include "driver/log.h"
#include "host/common/control_client.h"
#include "host/common/probe_report.h"
#include "host/common/sandbox.h"
#include "host/common/worker_arguments.h"
#include "host/worker/arena_view.h"
#include "host/worker/driver.h"
#include "host/worker/executor.h"
#include "host/worker/offload.h"
#include "host/worker/output_capture.h"
#include "host/worker/probe.h"
#include "host/worker/pulse.h"
#include "host/worker/session.h"
#include "host/worker/telemetry.h"
#include "transport/futex.h"
#include "transport/wait.h"

namespace cubar::host {
namespace {

/// Loads and initialises the driver. Returns what went wrong, or an empty string.
std::string start_driver(const WorkerArguments& arguments, Driver& driver) {
    if (std::string problem = driver.load(arguments.driver); !problem.empty()) return problem;
    const CUresult result = driver.cuInit(0);
    if (result == CUDA_SUCCESS) return {};
    return arguments.driver + ": cuInit failed with CUDA error " + std::to_string(result);
}

/// "NVIDIA 580.65" from the first line of the kernel module's version file.
std::string driver_in_words(Gpu gpu) {
    if (gpu == Gpu::kSoft) return "cubar softgpu";
    if (gpu == Gpu::kNull) return "cubar softgpu without execution";
    std::ifstream file("/proc/driver/nvidia/version");
    std::string word;
    while (file >> word) {
        const bool version = word.find('.') != std::string::npos &&
                             word.find_first_not_of("0123456789.") == std::string::npos;
        if (version) return "NVIDIA " + word;
    }
    return "NVIDIA";
}

bool write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return true;
}

int complain(const std::string& problem) {
    complain_to_log(problem);
    return 1;
}

int probe(const WorkerArguments& arguments) {
    Driver driver;
    if (const std::string problem = start_driver(arguments, driver); !problem.empty()) {
        return complain(problem);
    }
    const auto report = std::make_unique<ProbeReport>();
    const std::string problem =
        gather_facts(driver, driver_in_words(arguments.gpu).c_str(), report->facts);
    if (!problem.empty()) return complain(problem);
    for (std::uint32_t ordinal = 0; ordinal < report->facts.device_count; ++ordinal) {
        report->context_bytes[ordinal] = measure_context(driver, static_cast<int>(ordinal));
    }
    if (!write_all(arguments.output_fd, std::as_bytes(std::span(report.get(), 1)))) {
        return complain(std::string("writing the facts: ") + std::strerror(errno));
    }
    return 0;
}

/// Says that the session is over where cubard does not: the guest is told at once, not after the
/// silence of a heartbeat.
void say_dead(Channel& channel, SessionError reason) {
    channel.control.session_error.store(static_cast<std::uint32_t>(reason),
                                        std::memory_order_relaxed);
    // Pairs with the guest's look at the state while it waits.
    channel.control.session_state.store(static_cast<std::uint32_t>(SessionState::kDead),
                                        std::memory_order_release);
    for (ReplySlot& slot : channel.reply) {
        transport::futex_wake(slot.state, 1, transport::FutexScope::kShared);
    }
    transport::futex_wake(transport::low_half(channel.control.head), 1,
                          transport::FutexScope::kShared);
}

/// cubard has ended, or wants this worker to. If it is gone without a word, the session still
/// looks alive; otherwise it has said what became of it.
[[noreturn]] void end(Channel& channel, ControlClient& control, const Session* session) {
    const auto state =
        static_cast<SessionState>(channel.control.session_state.load(std::memory_order_acquire));
    if (state == SessionState::kReady || state == SessionState::kAccepted) {
        say_dead(channel, SessionError::kHostRestarted);
    }
    if (session != nullptr) {
        const Session::Work& work = session->work;
        control.say_did(work.launches.load(), work.copies.load(), work.copied_bytes.load());
    }
    _exit(0);
}

/// The guest breaks the protocol: nobody reads its ring from now on. The process waits to be ended
/// by cubard, whose word about the session would otherwise be that the worker died.
[[noreturn]] void end_broken(Channel& channel, ControlClient& control, const char* reason) {
    CUBAR_LOG(kError, "the guest broke the protocol: %s", reason);
    say_dead(channel, SessionError::kProtocolBroken);
    control.say_refused(SessionError::kProtocolBroken);
    for (;;) pause();
}

int refuse(ControlClient& control, SessionError reason, const std::string& problem) {
    control.say_refused(reason);
    return complain(problem);
}

int serve(const WorkerArguments& arguments) {
    keep_log_apart();
    // Loading the driver takes longest: it begins before anybody needs this worker.
    Driver driver;
    auto started = std::async(std::launch::async, [&] { return start_driver(arguments, driver); });

    ControlClient control{transport::Descriptor(arguments.control_fd)};
    auto session_of = control.wait_for_assignment();
    if (!session_of) _exit(0);
    const Assignment& assignment = session_of->assignment;
    void* memory = mmap(nullptr, sizeof(Channel), PROT_READ | PROT_WRITE, MAP_SHARED,
                        session_of->memory.get(), static_cast<off_t>(assignment.channel_offset));
    if (memory == MAP_FAILED)
        return complain(std::string("mapping the channel: ") + strerror(errno));
    Channel& channel = *static_cast<Channel*>(memory);
    // Whatever the other threads are stuck in, the worker ends when cubard says so, or ends itself.
    std::atomic<const Session*> serving{nullptr};
    control.start([&] { end(channel, control, serving.load(std::memory_order_acquire)); });

    OffloadPool offload;
    Pulse pulse(channel.control, [&] { return offload.running() != 0; });
    ArenaView arena({session_of->memory.get(), assignment.arena_offset, assignment.arena_bytes,
                     assignment.arena_address},
                    control, driver);
    const bool reserved = arena.reserve();
    if (const std::string problem = started.get(); !problem.empty()) {
        return refuse(control, SessionError::kDriver, problem);
    }
    if (!reserved) {
        return refuse(control, SessionError::kAddressTaken,
                      "the addresses that the guest proposes for the arena are taken");
    }

    OutputCapture output;
    Session session({driver, channel, control, arena, output, arguments.gpu != Gpu::kNvidia,
                     arguments.fences, arguments.context_bytes});
    serving.store(&session, std::memory_order_release);
    const SandboxReport sandbox = enter_sandbox(arguments.gpu, arguments.cache);
    if (!arguments.cache.empty() && access(arguments.cache.c_str(), W_OK | X_OK) != 0) {
        CUBAR_LOG(kWarn, "%s cannot be written (%s): the driver compiles again what it compiled",
                  arguments.cache.c_str(), strerror(errno));
    }
    for (const std::string& missing : sandbox.missing) {
        CUBAR_LOG(kWarn, "this machine does not confine workers by %s", missing.c_str());
    }
    if (!sandbox.confined) {
        return refuse(control, SessionError::kDriver, "the worker cannot be confined");
    }

    // The local policy serves a VM as well: such a guest never says that it sleeps.
    transport::RingConsumer ring(channel.control, channel.ring, transport::WaitPolicy::kLocal,
                                 session_of->doorbell.get());
    transport::ReplyWriter replies(channel, transport::WaitPolicy::kLocal);
    Executor executor({session, ring, replies, offload, pulse});
    control.say_ready();
    end_broken(channel, control, executor.run(-1));
}

int run(int count, char** words) {
    const auto arguments = WorkerArguments::parse(
        std::span(words, static_cast<std::size_t>(count)).subspan(count > 0 ? 1 : 0));
    if (!arguments) return complain("this program is started by cubard");
    if (arguments->telemetry) {
        const std::string problem = answer_telemetry(arguments->control_fd);
        return problem.empty() ? 0 : complain(problem);
    }
    return arguments->probe ? probe(*arguments) : serve(*arguments);
}

}  // namespace
}  // namespace cubar::host

int main(int count, char** words) {
    int code = 1;
    try {
        code = cubar::host::run(count, words);
    } catch (const std::exception& error) {
        code = cubar::host::complain(error.what());
    }
    // Without destructors: threads may be in the driver, and the kernel cleans up better than it.
    std::fflush(nullptr);
    _exit(code);
}
