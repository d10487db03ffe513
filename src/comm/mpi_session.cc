#include "src/comm/mpi_session.h"

#include <mpi.h>

#include <cstdlib>

#include "absl/status/status.h"
#include "src/base/status_macros.h"
#include "src/comm/launch.h"
#include "src/comm/mpi_status.h"

namespace finetune {

absl::StatusOr<MpiSession> MpiSession::Start(int* argc, char*** argv) {
  FT_ASSIGN_OR_RETURN(Launch launch, LaunchOf([](const char* name) { return std::getenv(name); }));
  if (launch == Launch::kAlone) return MpiSession(false);
  // NetworkSleep waits on it; Open MPI's own choice, poll(), is for the terminals that mpirun has.
  setenv("OMPI_MCA_opal_event_include", "epoll", /*replace=*/0);
  int provided = MPI_THREAD_SINGLE;
  // One thread calls MPI at a time, and it is not the main one: the communicator's own.
  FT_RETURN_IF_ERROR(
      MpiStatus(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread"));
  MpiSession session(true);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (provided < MPI_THREAD_SERIALIZED) {
    return absl::FailedPreconditionError(
        "this MPI cannot be used from a second thread (MPI_THREAD_SERIALIZED): use an Open MPI "
        "built with threads");
  }
  return session;
}

MpiSession::~MpiSession() {
  if (active_) MPI_Finalize();
}

}  // namespace finetune
