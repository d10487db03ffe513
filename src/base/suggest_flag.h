#ifndef FINETUNE_BASE_SUGGEST_FLAG_H_
#define FINETUNE_BASE_SUGGEST_FLAG_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace finetune {

// Returns advice on the first command or flag in `arguments` (without the program's name) that
// `app` does not know: "--confg: no such flag; did you mean --config?", "trian: no such command;
// did you mean train?". An unknown command is reported before an unknown flag. Returns "" where
// `app` knows them all.
std::string SuggestFlag(const CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace finetune

#endif  // FINETUNE_BASE_SUGGEST_FLAG_H_
