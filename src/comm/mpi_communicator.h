#ifndef FINETUNE_COMM_MPI_COMMUNICATOR_H_
#define FINETUNE_COMM_MPI_COMMUNICATOR_H_

#include <memory>

#include "src/comm/communicator.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// MPI from start to end of a program; without mpirun it is a world of one rank.
class MpiSession {
 public:
  static absl::StatusOr<std::unique_ptr<MpiSession>> Start(int* argc, char*** argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

 private:
  MpiSession() = default;
};

// Ranks of mpirun, tensors in this host's memory. All calls of MPI are made by one thread, in
// order, so that it goes on beside the work of the others; while it waits it yields its core.
//
// A collective that waits longer than comm.stall_warning_seconds is reported on stderr with the
// ranks that have not come to it, and after comm.timeout_seconds the job is ended.
//
// The MpiSession must outlive it.
absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommConfig& config);

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_COMMUNICATOR_H_
