#include "src/base/suggest_flag.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/nearest_name.h"

namespace finetune {
namespace {

// Returns the first of `commands` that has `flag`, or null where none has it.
const CLI::App* OwnerOf(const std::string& flag, const std::vector<const CLI::App*>& commands) {
  for (const CLI::App* command : commands) {
    if (command->get_option_no_throw(flag) != nullptr) return command;
  }
  return nullptr;
}

}  // namespace

std::string SuggestFlag(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* chosen = &app;
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (!arguments.empty() && !absl::StartsWith(arguments.front(), "-") && !commands.empty()) {
    const std::string& word = arguments.front();
    std::vector<std::string> names;
    for (const CLI::App* command : commands) {
      names.push_back(command->get_name());
      if (word == names.back()) chosen = command;
    }
    if (chosen == &app) {
      // A word that begins exactly one command's name, such as "eval", suggests that command.
      // Another word suggests the command with the nearest spelling.
      std::vector<std::string> begun;
      std::copy_if(names.begin(), names.end(), std::back_inserter(begun),
                   [&](const std::string& name) { return absl::StartsWith(name, word); });
      const std::string near = begun.size() == 1 ? begun.front() : NearestName(word, names);
      return absl::StrCat(word, ": no such command; ",
                          near.empty()
                              ? absl::StrCat("the commands are ", absl::StrJoin(names, ", "))
                              : absl::StrCat("did you mean ", near, "?"));
    }
  }
  std::vector<std::string> known;
  for (const CLI::Option* option : chosen->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const std::string& argument : arguments) {
    const std::string flag = argument.substr(0, argument.find('='));
    if (!absl::StartsWith(flag, "--") || flag == "--" ||
        std::find(known.begin(), known.end(), flag) != known.end()) {
      continue;
    }
    const std::string near = NearestName(flag, known);
    const CLI::App* owner = near.empty() ? OwnerOf(flag, commands) : nullptr;
    return absl::StrCat(flag, ": no such flag",
                        owner != nullptr ? absl::StrCat(" here; it belongs to ", owner->get_name())
                        : near.empty()   ? "; see --help"
                                         : absl::StrCat("; did you mean ", near, "?"));
  }
  return "";
}

}  // namespace finetune
