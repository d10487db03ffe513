// finetune: starts the command that the arguments choose. The commands are in src/main/commands.

#include <string>
#include <vector>

#include "src/base/exit_code.h"
#include "src/host/launch_environment.h"
#include "src/main/command_line.h"
#include "src/main/commands/all.h"
#include "src/main/uncaught.h"
#include "src/tensor/large_tensor_memory.h"

int main(int argc, char** argv) {
  finetune::NameRankInUncaughtExceptions();
  finetune::UseLargeTensorMemory();
  const int rank = finetune::LaunchRank();
  const finetune::CommandList commands = finetune::MakeCommands();
  const absl::StatusOr<finetune::Command*> command =
      finetune::ParseCommandLine(commands, std::vector<std::string>(argv + 1, argv + argc));
  // ReportError() prints on rank 0 only, because a wrong flag is the same error on every rank.
  if (!command.ok()) return finetune::ReportError(command.status(), rank);
  return (*command)->Run({argc, argv, rank, commands});
}
