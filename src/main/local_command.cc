#include "src/main/local_command.h"

#include "src/base/exit_code.h"
#include "src/base/print_output.h"

namespace finetune {

int LocalCommand::Run(const Invocation& invocation) {
  if (invocation.rank != 0) return kExitDone;
  std::string output;
  absl::Status status = RunHere(invocation, &output);
  status.Update(PrintOutput(output));
  return ReportError(status, invocation.rank);
}

}  // namespace finetune
