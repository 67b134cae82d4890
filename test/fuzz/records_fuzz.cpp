// SPDX-License-Identifier: Apache-2.0
// A ring full of anything: the worker executes what is well-formed and says why it stops at the
// rest. Sources: transport/ring_consumer.cpp, generate/host_dispatch.cpp (generated),
// host/worker/*.cpp.
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>

#include "cubar/host/dispatch.h"
#include "cubar/layout.h"
#include "host/common/control_client.h"
#include "host/worker/arena_view.h"
#include "host/worker/output_capture.h"
#include "host/worker/session.h"
#include "test/fuzz/null_driver.h"
#include "transport/reply.h"
#include "transport/ring_consumer.h"

namespace {

using namespace cubar;

constexpr std::uint64_t kArenaGranules = 2;

// What lies at the arena's beginning, so that there is an image to load.
constexpr char kImage[64] = ".version 8.0\n.target sm_75\n.address_size 64\n";

void require(bool condition) {
    if (!condition) std::abort();
}

/// Grants everything that a worker asks of cubard, but for the arena's end.
void serve(int socket) {
    for (;;) {
        host::WorkerMessage asked{};
        if (recv(socket, &asked, sizeof asked, 0) != sizeof asked) return;
        host::HostMessage answer{};
        answer.kind = host::HostSays::kAnswer;
        answer.number = asked.number;
        if (asked.kind == host::WorkerSays::kLease && asked.bytes > kArenaGranules) {
            answer.verdict = host::Verdict::kNoArena;
        }
        if (send(socket, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) return;
    }
}

/// What outlives the inputs: a cubard, and memory for one channel and its arena.
struct Surroundings {
    host::Driver driver = fuzz::null_driver();
    int memory = memfd_create("cubar-fuzz", MFD_CLOEXEC);
    Channel* channel = nullptr;
    host::ControlClient control{connect()};
    transport::Descriptor own_errors{dup(STDERR_FILENO)};
    host::OutputCapture output;

    Surroundings() {
        // libFuzzer reports there.
        require(dup2(own_errors.get(), STDERR_FILENO) == STDERR_FILENO);
        require(ftruncate(memory, sizeof(Channel) + kArenaGranules * kGranuleBytes) == 0);
        void* mapped =
            mmap(nullptr, sizeof(Channel), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        require(mapped != MAP_FAILED);
        channel = static_cast<Channel*>(mapped);
        control.start([] {});
    }

private:
    static transport::Descriptor connect() {
        int ends[2];
        require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        std::thread(serve, ends[0]).detach();
        return transport::Descriptor(ends[1]);
    }
};

/// As the executor does it, on this one thread.
void execute(host::Session& session, const transport::Record& record) {
    const host::Dispatch* entry = host::find_dispatch(record.header().opcode);
    if (entry == nullptr || !host::well_formed(*entry, record.body())) return;
    alignas(8) std::byte reply[kLongReplyBytes];
    const CUresult error = session.make_current(ContextHandle(record.header().context));
    if (entry->needs_context && error != CUDA_SUCCESS) return;
    entry->run(session, record, reply);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Never destroyed: its threads run to the end.
    static Surroundings& around = *new Surroundings;
    size = std::min(size, kRingBytes);
    Channel& channel = *around.channel;
    std::memcpy(channel.ring, data, size);
    require(pwrite(around.memory, kImage, sizeof kImage, sizeof(Channel)) == sizeof kImage);
    channel.control.tail.store(size, std::memory_order_release);

    host::ArenaView arena({around.memory, sizeof(Channel), kArenaGranules * kGranuleBytes, 0},
                          around.control, around.driver);
    require(arena.reserve());
    host::Session session({around.driver, channel, around.control, arena, around.output});
    host::Session::forget_current();
    // This one thread cannot wait for what another would call.
    session.host_calls.close();
    transport::RingConsumer ring(channel.control, channel.ring, transport::WaitPolicy::kVm, -1);
    transport::Record record;
    transport::Next next;
    while ((next = ring.next(record)) == transport::Next::kRecord) execute(session, record);
    require((next == transport::Next::kBroken) == (ring.broken() != nullptr));
    // Nothing is left, so that there is nothing to wake up for; a broken ring sleeps no more.
    require(ring.sleep({}, 0) == (next == transport::Next::kBroken));
    return 0;
}
