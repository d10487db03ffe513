#ifndef FINETUNE_BASE_SUGGEST_FLAG_H_
#define FINETUNE_BASE_SUGGEST_FLAG_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace finetune {

// What to tell somebody whose `arguments` (without the program's name) `app` cannot take, where one
// of them is no command or flag of it: "--confg: no such flag; did you mean --config?", "trian: no
// such command; did you mean train?"; "" where all are known and something else is wrong. A command
// comes first.
std::string SuggestFlag(const CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace finetune

#endif  // FINETUNE_BASE_SUGGEST_FLAG_H_
