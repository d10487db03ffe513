#ifndef FINETUNE_COMM_CREATE_COMMUNICATOR_H_
#define FINETUNE_COMM_CREATE_COMMUNICATOR_H_

#include <memory>

#include "src/comm/communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Creates the communicator for a job on `device`; one rank gets SingleCommunicator. AUTO means CUDA
// where any rank sees a GPU, else the CPU, so a host that has lost its GPUs is an error and not a
// slow run. Where the ranks ask for different devices it is the CPU, which is enough for them to
// compare their configs. Collective; `session` must outlive it. Errors: InvalidArgument, beginning
// with the field, for a device that is not there or a backend that does not fit it; those of the
// communicators' own Create().
absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 RuntimeConfig::Device device,
                                                                 CommObserver observer);

}  // namespace finetune

#endif  // FINETUNE_COMM_CREATE_COMMUNICATOR_H_
