#ifndef FINETUNE_BASE_SUGGEST_FLAG_H_
#define FINETUNE_BASE_SUGGEST_FLAG_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace finetune {

// Returns the advice for `arguments` (without the program's name) of which `app` does not know a
// command or a flag: "--confg: no such flag; did you mean --config?", "trian: no such command; did
// you mean train?". Commands come first. Returns "" where `app` knows all of them, so that
// something else is wrong.
std::string SuggestFlag(const CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace finetune

#endif  // FINETUNE_BASE_SUGGEST_FLAG_H_
