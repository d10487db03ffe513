#ifndef FINETUNE_MAIN_HELP_TEXT_H_
#define FINETUNE_MAIN_HELP_TEXT_H_

#include <string>

#include "src/main/command.h"

namespace finetune {

// Returns the help of one command: its flags and examples. It has at most 100 columns and, for
// every command of finetune, at most 24 lines.
std::string HelpOf(Command& command);

// Returns the help of the program: its commands.
std::string HelpOf(const CommandList& commands);

}  // namespace finetune

#endif  // FINETUNE_MAIN_HELP_TEXT_H_
