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
  // Loads the config, starts MPI, and runs the command once all ranks have a config.
  int Run(const Invocation& invocation) final;

 private:
  // Reads the config, before MPI starts. It says how the ranks communicate and on which device.
  virtual absl::StatusOr<LoadedConfig> Load() = 0;
  // Returns whom the communicator tells of its collectives. It lives as long as this object.
  virtual CommObserver Observer() { return CommObserver(); }
  // Does the work and returns the exit code. Collective: every rank calls it with the same config,
  // as far as a rank can tell. An error is printed once, with the place of a field's error.
  virtual absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_RANK_COMMAND_H_
