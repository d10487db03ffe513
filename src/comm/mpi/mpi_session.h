#ifndef FINETUNE_COMM_MPI_MPI_SESSION_H_
#define FINETUNE_COMM_MPI_MPI_SESSION_H_

#include "absl/status/statusor.h"

namespace finetune {

// MPI from MPI_Init to MPI_Finalize, where an MPI launcher started the process. Where a shell
// started it, the session does nothing, since one rank needs no mpirun. Make one in main():
//
//   FT_ASSIGN_OR_RETURN(MpiSession session, MpiSession::Start(&argc, &argv));
//
// MPI_Finalize waits for the other ranks. A rank that failed ends with Communicator::Abort()
// instead.
class MpiSession {
 public:
  // Errors: FailedPrecondition when srun started several tasks without MPI, when MPI's world does
  // not have as many ranks as the launcher started, or when MPI cannot be used from threads.
  static absl::StatusOr<MpiSession> Start(int* argc, char*** argv);

  MpiSession(MpiSession&& other) noexcept : active_(other.active_) { other.active_ = false; }
  MpiSession& operator=(MpiSession&&) = delete;
  ~MpiSession();

  // Returns whether MPI runs.
  bool active() const { return active_; }

 private:
  explicit MpiSession(bool active) : active_(active) {}

  bool active_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_SESSION_H_
