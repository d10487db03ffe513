#include "src/main/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/annotate.h"
#include "src/base/flag_errors.h"

namespace finetune {
namespace {

// Adds the flag to `app`. Errors in the flag's value are added to `errors`.
void Register(const Flag& flag, CLI::App* app, std::vector<absl::Status>* errors) {
  const auto set = [&flag, errors](const std::string& text) {
    const absl::Status status = flag.set(text);
    if (!status.ok()) errors->push_back(Annotate(status, flag.name));
  };
  CLI::Option* option = nullptr;
  if (flag.kind == Flag::Kind::kSwitch) {
    option = app->add_flag_function(flag.name,
                                    [set](int64_t times) { set(times > 0 ? "true" : "false"); });
  } else if (flag.repeatable) {
    option = app->add_option_function<std::vector<std::string>>(
        flag.name, [set](const std::vector<std::string>& texts) {
          for (const std::string& text : texts) set(text);
        });
    // A positional argument takes all remaining arguments.
    option->allow_extra_args(flag.IsPositional());
  } else {
    option = app->add_option_function<std::string>(flag.name, set);
  }
  if (flag.required) option->required();
}

// Returns the arguments of the command "help" if help is asked for at any place: by "--help", "-h"
// or "--help=optimizer.sgd"; otherwise nothing. `command`: the command that is named; empty if none
// is.
std::optional<std::vector<std::string>> HelpIn(const std::vector<std::string>& arguments,
                                               const std::string& command) {
  constexpr absl::string_view kTopic = "--help=";
  for (const std::string& argument : arguments) {
    if (absl::StartsWith(argument, kTopic)) {
      return std::vector<std::string>{"help", argument.substr(kTopic.size())};
    }
    if (argument != "--help" && argument != "-h") continue;
    if (command.empty()) return std::vector<std::string>{"help"};
    return std::vector<std::string>{"help", command};
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Command*> ParseCommandLine(const CommandList& commands,
                                          const std::vector<std::string>& arguments) {
  Command* chosen = commands.front().get();
  for (const auto& command : commands) {
    if (!arguments.empty() && arguments.front() == command->name()) chosen = command.get();
  }
  const bool named = !arguments.empty() && arguments.front() == chosen->name();
  if (const auto help = HelpIn(arguments, named ? chosen->name() : "")) {
    return ParseCommandLine(commands, *help);
  }

  CLI::App app("", "finetune");
  app.set_help_flag("-h,--help");
  app.require_subcommand(0, 1);
  bool version = false;
  app.add_flag("--version", version);
  std::vector<absl::Status> errors;
  std::vector<FlagList> flags(commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    commands[i]->AddFlags(&flags[i]);
    CLI::App* sub = app.add_subcommand(commands[i]->name());
    for (const Flag& flag : flags[i].flags()) {
      Register(flag, sub, &errors);
      // The first command is the default, so its flags are also accepted without its name.
      if (i == 0) Register(flag, &app, &errors);
    }
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(ExplainFlags(app, arguments, error));
  }
  if (!errors.empty()) return errors.front();
  if (version) return ParseCommandLine(commands, {"version"});
  for (const CLI::App* sub : app.get_subcommands()) {
    // The command is not the first argument, as in "finetune --config=F evaluate".
    if (sub->get_name() != chosen->name() || !named) {
      return absl::InvalidArgumentError(absl::StrCat(sub->get_name(),
                                                     ": the command comes first, as in finetune ",
                                                     sub->get_name(), " --config=F"));
    }
  }
  FT_RETURN_IF_ERROR(chosen->Check());
  return chosen;
}

}  // namespace finetune
