#ifndef FINETUNE_MAIN_LOCAL_COMMAND_H_
#define FINETUNE_MAIN_LOCAL_COMMAND_H_

#include <string>

#include "absl/status/status.h"
#include "src/main/command.h"

namespace finetune {

// A command of one process. It runs before MPI starts; under mpirun rank 0 runs it, and the other
// ranks are done at once.
class LocalCommand : public Command {
 public:
  int Run(const Invocation& invocation) final;

  // Does the work. `output`: for stdout; it is printed also where an error is returned, before it.
  virtual absl::Status RunHere(const Invocation& invocation, std::string* output) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_LOCAL_COMMAND_H_
