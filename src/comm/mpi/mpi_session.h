#ifndef FINETUNE_COMM_MPI_MPI_SESSION_H_
#define FINETUNE_COMM_MPI_MPI_SESSION_H_

#include "absl/status/statusor.h"

namespace finetune {

// Calls MPI_Init_thread at its start and MPI_Finalize at its end, if an MPI launcher such as mpirun
// started the process. Otherwise it does nothing, so that a job of one rank needs no mpirun. Create
// one in main():
//
//   FT_ASSIGN_OR_RETURN(MpiSession session, MpiSession::Start(&argc, &argv));
//
// MPI_Finalize waits for the other ranks. So a rank that failed must not destroy the session but
// call Communicator::Abort().
class MpiSession {
 public:
  // Errors: FailedPrecondition when srun started several tasks without MPI, when MPI_COMM_WORLD
  // does not have as many ranks as the launcher started, or when MPI does not support
  // MPI_THREAD_SERIALIZED. Unavailable when an MPI function fails.
  static absl::StatusOr<MpiSession> Start(int* argc, char*** argv);

  MpiSession(MpiSession&& other) noexcept : active_(other.active_) { other.active_ = false; }
  MpiSession& operator=(MpiSession&&) = delete;
  ~MpiSession();

  // Returns whether MPI is initialized. False where no launcher started the process.
  bool active() const { return active_; }

 private:
  explicit MpiSession(bool active) : active_(active) {}

  bool active_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_SESSION_H_
