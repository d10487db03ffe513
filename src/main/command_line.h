#ifndef FINETUNE_MAIN_COMMAND_LINE_H_
#define FINETUNE_MAIN_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/main/command.h"

namespace finetune {

// Returns the one of `commands` that `arguments` (without the program's name) choose, after setting
// and checking its flags. Without a command's name it is the first command. "--help" chooses
// "help", "--version" chooses "version". Call it only once for a list of commands. Errors:
// InvalidArgument with what is wrong and the nearest command or flag.
absl::StatusOr<Command*> ParseCommandLine(const CommandList& commands,
                                          const std::vector<std::string>& arguments);

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMAND_LINE_H_
