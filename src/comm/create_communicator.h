#ifndef FINETUNE_COMM_CREATE_COMMUNICATOR_H_
#define FINETUNE_COMM_CREATE_COMMUNICATOR_H_

#include <memory>

#include "src/comm/communicator.h"
#include "src/comm/mpi_session.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// The communicator that `config` asks for, for parameters on the CPU or, with `cuda`, on GPUs; one
// rank needs none and gets SingleCommunicator. Collective; `session` must outlive it. Errors:
// InvalidArgument for a backend that does not go with the device, and those of the communicators'
// own Create().
absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 bool cuda, CommObserver observer);

}  // namespace finetune

#endif  // FINETUNE_COMM_CREATE_COMMUNICATOR_H_
