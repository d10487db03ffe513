#ifndef FINETUNE_COMM_CREATE_COMMUNICATOR_H_
#define FINETUNE_COMM_CREATE_COMMUNICATOR_H_

#include <memory>

#include "src/comm/communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// The communicator for a job on `device`; one rank gets SingleCommunicator. AUTO is CUDA where any
// rank sees a GPU, else the CPU: a host whose GPUs are gone is an error, not a slow run. Where the
// ranks ask for different devices, it is the CPU, and good enough for them to compare their
// configs. Collective; `session` must outlive it. Errors: InvalidArgument that begins with the
// field, for a device that is not there or a backend that does not go with it; those of the
// communicators' own Create().
absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 RuntimeConfig::Device device,
                                                                 CommObserver observer);

}  // namespace finetune

#endif  // FINETUNE_COMM_CREATE_COMMUNICATOR_H_
