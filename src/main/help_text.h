#ifndef FINETUNE_MAIN_HELP_TEXT_H_
#define FINETUNE_MAIN_HELP_TEXT_H_

#include <string>

#include "src/main/command.h"

namespace finetune {

// The help of one command: its flags and examples. At most 100 columns and, for every command that
// there is, 24 lines.
std::string HelpOf(Command& command);

// The help of the program: its commands.
std::string HelpOf(const CommandList& commands);

}  // namespace finetune

#endif  // FINETUNE_MAIN_HELP_TEXT_H_
