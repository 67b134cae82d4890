// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/launch_attributes.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

template <typename Question, typename Request, typename Reply>
CUresult ask_clusters(Session& session, const transport::Record& record, Question* question,
                      const Request& request, std::span<const std::byte> payload, Reply& reply) {
    CUfunction function = nullptr;
    CUBAR_TRY(session.resolve(request.function, function));
    LaunchAttributes attributes;
    CUBAR_TRY(attributes.read(session, request.attribute_count, payload));
    CUlaunchConfig config{};
    config.gridDimX = request.grid[0];
    config.gridDimY = request.grid[1];
    config.gridDimZ = request.grid[2];
    config.blockDimX = request.block[0];
    config.blockDimY = request.block[1];
    config.blockDimZ = request.block[2];
    config.sharedMemBytes = request.shared_bytes;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), config.hStream));
    config.attrs = attributes.data();
    config.numAttrs = attributes.count();
    return ask(question, &reply.value, function, static_cast<const CUlaunchConfig*>(&config));
}

}  // namespace

CUresult handle_cuOccupancyMaxPotentialClusterSize(
    Session& session, const transport::Record& record,
    const wire::cuOccupancyMaxPotentialClusterSize::Request& request,
    std::span<const std::byte> payload, wire::cuOccupancyMaxPotentialClusterSize::Reply& reply) {
    return ask_clusters(session, record, session.driver().cuOccupancyMaxPotentialClusterSize,
                        request, payload, reply);
}

CUresult handle_cuOccupancyMaxActiveClusters(
    Session& session, const transport::Record& record,
    const wire::cuOccupancyMaxActiveClusters::Request& request, std::span<const std::byte> payload,
    wire::cuOccupancyMaxActiveClusters::Reply& reply) {
    return ask_clusters(session, record, session.driver().cuOccupancyMaxActiveClusters, request,
                        payload, reply);
}

}  // namespace cubar::host
