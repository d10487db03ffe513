#ifndef FINETUNE_MAIN_COMMANDS_ALL_H_
#define FINETUNE_MAIN_COMMANDS_ALL_H_

#include "src/main/command.h"

namespace finetune {

// Creates one object of each command, in the order in which the help shows them. The first one is
// the default command.
CommandList MakeCommands();

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_ALL_H_
