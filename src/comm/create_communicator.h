#ifndef FINETUNE_COMM_CREATE_COMMUNICATOR_H_
#define FINETUNE_COMM_CREATE_COMMUNICATOR_H_

#include <memory>

#include "src/comm/communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Creates the communicator for a job whose model is computed on `device`: NcclCommunicator for
// GPUs, MpiCommunicator for the CPU, and SingleCommunicator for a job of one rank.
//
// With AUTO all ranks use GPUs where any rank sees one, otherwise the CPU. So a host that has lost
// its GPUs is an error, not a slow run. Where one rank asks for the CPU, all ranks get a
// communicator for the CPU: if others asked for CUDA, their configs differ, and with this
// communicator they can compare them and report it.
//
// Collective. `session` must outlive the communicator. Errors: InvalidArgument, beginning with the
// config field, when `device` is CUDA and a rank sees no GPU or when config.backend does not work
// on the device; those of the communicators' own Create().
absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 RuntimeConfig::Device device,
                                                                 CommObserver observer);

}  // namespace finetune

#endif  // FINETUNE_COMM_CREATE_COMMUNICATOR_H_
