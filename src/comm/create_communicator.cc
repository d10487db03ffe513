#include "src/comm/create_communicator.h"

#include <utility>

#include "absl/status/status.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi_communicator.h"
#include "src/comm/single_communicator.h"
#ifdef FINETUNE_CUDA
#include "src/comm/nccl_communicator.h"
#endif

namespace finetune {

absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 bool cuda, CommObserver observer) {
  if (config.backend() == CommConfig::NCCL && !cuda) {
    return absl::InvalidArgumentError(
        "comm.backend: NCCL works on GPUs, and this run is on the CPU: leave it unset, or MPI");
  }
  if (config.backend() == CommConfig::MPI && cuda) {
    return absl::InvalidArgumentError(
        "comm.backend: MPI works on the CPU's memory, and this run is on GPUs: leave it unset, or "
        "NCCL");
  }
#ifndef FINETUNE_CUDA
  if (cuda) {
    return absl::FailedPreconditionError(
        "this program was built without CUDA: build it with `bazel build --config=cuda`");
  }
#endif
  if (!session.active()) return std::make_unique<SingleCommunicator>();
  FT_ASSIGN_OR_RETURN(std::unique_ptr<MpiCommunicator> mpi,
                      MpiCommunicator::Create(session, config, std::move(observer)));
#ifdef FINETUNE_CUDA
  if (cuda && mpi->size() > 1) return NcclCommunicator::Create(std::move(mpi), config);
#endif
  return mpi;
}

}  // namespace finetune
