#include "src/main/local_command.h"

#include <cerrno>
#include <cstdio>

#include "src/base/system_error.h"
#include "src/main/exit_code.h"

namespace finetune {

int LocalCommand::Run(const Invocation& invocation) {
  if (invocation.rank != 0) return kExitDone;
  std::string output;
  absl::Status status = RunHere(invocation, &output);
  const bool printed = std::fwrite(output.data(), 1, output.size(), stdout) == output.size() &&
                       std::fflush(stdout) == 0;
  if (!printed && status.ok()) status = SystemError("cannot write to", "standard output", errno);
  return ReportError(status, invocation.rank);
}

}  // namespace finetune
