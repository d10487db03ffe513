#include "src/main/rank_command.h"

#include <memory>

#include "src/base/exit_code.h"
#include "src/comm/agreement.h"
#include "src/comm/create_communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/host/affinity.h"

namespace finetune {

int RankCommand::Run(const Invocation& invocation) {
  const absl::StatusOr<LoadedConfig> loaded = Load();
  RestartUnbound(invocation.argv);
  int argc = invocation.argc;
  char** argv = invocation.argv;
  absl::StatusOr<MpiSession> session = MpiSession::Start(&argc, &argv);
  if (!session.ok()) return ReportError(session.status(), invocation.rank);
  const absl::StatusOr<std::unique_ptr<Communicator>> comm = CreateCommunicator(
      *session, loaded.ok() ? loaded->config.comm() : CommConfig(),
      loaded.ok() ? loaded->config.runtime().device() : RuntimeConfig::CPU, Observer());
  if (!comm.ok()) {
    return ReportError(loaded.ok() ? loaded->WithPlace(comm.status()) : comm.status(),
                       invocation.rank);
  }
  const int rank = (*comm)->rank();
  // All ranks agree on the error, because a config may be missing on only one host.
  if (absl::Status agreed = Agree(loaded.status(), **comm); !agreed.ok()) {
    return ReportError(agreed, rank);
  }
  const absl::StatusOr<int> code = RunOnRanks(*loaded, comm->get());
  return code.ok() ? *code : ReportError(loaded->WithPlace(code.status()), rank);
}

}  // namespace finetune
