#ifndef FINETUNE_MAIN_RANK_COMMAND_H_
#define FINETUNE_MAIN_RANK_COMMAND_H_

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/main/command.h"

namespace finetune {

// A command that every rank of mpirun runs; without mpirun there is one rank.
class RankCommand : public Command {
 public:
  // Loads the config, starts MPI, and calls RunOnRanks() if every rank could load the config.
  int Run(const Invocation& invocation) final;

 private:
  // Loads the config. Run() calls it before MPI starts, because the config determines how the ranks
  // communicate and on which device.
  virtual absl::StatusOr<LoadedConfig> Load() = 0;
  // Returns the observer that the communicator informs of its collectives. Everything that the
  // observer refers to must live as long as this command.
  virtual CommObserver Observer() { return CommObserver(); }
  // Does the work and returns the exit code. Collective: every rank calls it. The ranks have not
  // yet compared their configs. Run() prints an error on rank 0 only, with the place of the field
  // if the error is about a field.
  virtual absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_RANK_COMMAND_H_
