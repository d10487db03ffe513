#ifndef FINETUNE_MAIN_COMPLETION_H_
#define FINETUNE_MAIN_COMPLETION_H_

#include <string>
#include <vector>

#include "src/config/reference.h"
#include "src/main/command.h"

namespace finetune {

// Return a script for bash or zsh that completes finetune's commands, its flags, and the fields and
// values after --set=.
std::string BashCompletion(const CommandList& commands, const std::vector<ValueField>& fields);
std::string ZshCompletion(const CommandList& commands, const std::vector<ValueField>& fields);

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMPLETION_H_
