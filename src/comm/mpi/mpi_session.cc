#include "src/comm/mpi/mpi_session.h"

#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_status.h"
#include "src/host/launch_environment.h"

namespace finetune {
namespace {

// Returns the first three words of the library's description, such as "Open MPI v4.1.4".
std::string LibraryVersion() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "of unknown version";
  const std::vector<std::string> words =
      absl::StrSplit(absl::string_view(text, length), absl::ByAnyChar(" \t\n,"), absl::SkipEmpty());
  return absl::StrJoin(words.begin(), words.begin() + std::min<size_t>(words.size(), 3), " ");
}

}  // namespace

absl::StatusOr<MpiSession> MpiSession::Start(int* argc, char*** argv) {
  const Launch launch = ReadLaunch();
  if (launch.launcher == Launcher::kNone) return MpiSession(false);
  FT_RETURN_IF_ERROR(CheckLaunch(launch));
  // Make Open MPI use epoll, because NetworkSleep sleeps on an epoll instance. Open MPI's default
  // is poll(), because epoll does not work with mpirun's terminals; ranks have none.
  setenv("OMPI_MCA_opal_event_include", "epoll", /*replace=*/0);
  int provided = MPI_THREAD_SINGLE;
  // MPI_THREAD_SERIALIZED: one thread at a time calls MPI. During the start this is the main
  // thread, later the communicator's thread.
  FT_RETURN_IF_ERROR(
      MpiStatus(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread"));
  MpiSession session(true);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (provided < MPI_THREAD_SERIALIZED) {
    return absl::FailedPreconditionError(
        "this MPI cannot be used from a second thread (MPI_THREAD_SERIALIZED): use one that was "
        "built with threads");
  }
  int world_size = 0;
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Comm_size(MPI_COMM_WORLD, &world_size), "MPI_Comm_size"));
  FT_RETURN_IF_ERROR(CheckWorld(launch, world_size, LibraryVersion()));
  return session;
}

MpiSession::~MpiSession() {
  if (active_) MPI_Finalize();
}

}  // namespace finetune
