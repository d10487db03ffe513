#ifndef FINETUNE_MAIN_LOCAL_COMMAND_H_
#define FINETUNE_MAIN_LOCAL_COMMAND_H_

#include <string>

#include "absl/status/status.h"
#include "src/main/command.h"

namespace finetune {

// A command that runs in one process, without MPI. Under mpirun rank 0 runs it, and the other ranks
// exit at once with success.
class LocalCommand : public Command {
 public:
  int Run(const Invocation& invocation) final;

  // Does the work. Run() prints `output` on stdout, also where an error is returned, and then the
  // error.
  virtual absl::Status RunHere(const Invocation& invocation, std::string* output) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_LOCAL_COMMAND_H_
