#ifndef FINETUNE_MAIN_COMMAND_LINE_H_
#define FINETUNE_MAIN_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/main/command.h"

namespace finetune {

// Chooses one of `commands` by `arguments` (without the program's name), sets its flags and checks
// them. Without a command's name it is the first one. "--help" chooses "help", "--version"
// "version". Called once for the commands. Errors: InvalidArgument with what is wrong and the
// nearest command or flag.
absl::StatusOr<Command*> ParseCommandLine(const CommandList& commands,
                                          const std::vector<std::string>& arguments);

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMAND_LINE_H_
