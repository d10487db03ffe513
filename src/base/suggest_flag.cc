#include "src/base/suggest_flag.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/nearest_name.h"

namespace finetune {

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
      const std::string near = NearestName(word, names);
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
    if (!absl::StartsWith(flag, "--") || std::find(known.begin(), known.end(), flag) != known.end())
      continue;
    const std::string near = NearestName(flag, known);
    return absl::StrCat(flag, ": no such flag; ",
                        near.empty() ? "see --help" : absl::StrCat("did you mean ", near, "?"));
  }
  return "";
}

}  // namespace finetune
