#include "data_tools/man_page.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace finetune {
namespace {

// Returns an entry for each flag and argument of a command, or of the program. Leaves out --help.
std::string Entries(const CLI::App& app) {
  std::string entries;
  for (const CLI::Option* option : app.get_options()) {
    if (absl::c_linear_search(option->get_lnames(), "help")) continue;
    // The help wraps long texts with line ends.
    const std::string text =
        absl::StrCat(absl::StrReplaceAll(option->get_description(), {{"\n", " "}}),
                     option->get_required() ? " (required)" : "");
    if (option->get_positional()) {
      absl::StrAppend(&entries, RoffEntry(RoffItalic(option->get_name(/*positional=*/true)), text));
      continue;
    }
    // CLI11 appends the values that a check allows to the type: "WORD:{apply,ignore}".
    const std::string type = option->get_type_name();
    const absl::string_view value = absl::string_view(type).substr(0, type.find(':'));
    const bool takes_value = option->get_items_expected_max() > 0 && !value.empty();
    absl::StrAppend(&entries,
                    RoffEntry(absl::StrCat(RoffBold(option->get_name()),
                                           takes_value ? absl::StrCat("=", RoffItalic(value)) : ""),
                              text));
  }
  return entries;
}

void AppendExamples(const CLI::App& app, std::vector<std::string>* examples) {
  const std::string footer = app.get_footer();
  for (absl::string_view line : absl::StrSplit(footer, '\n')) {
    if (absl::ConsumePrefix(&line, "  ")) examples->emplace_back(line);
  }
}

}  // namespace

ManPage PrepareManPage(const CLI::App& app, const ExitCodes& codes) {
  const std::string summary = app.get_description();
  std::string text = absl::StrCat(
      ManPageHead(kPrepareManFirstLine, app.get_name(), absl::StripSuffix(summary, ".")),
      RoffBold(app.get_name()), " ", RoffItalic("COMMAND"), " [", RoffItalic("FLAGS"),
      "]\n.SH OPTIONS\n", Entries(app), ".SH COMMANDS\n");
  std::vector<std::string> examples;
  AppendExamples(app, &examples);
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    absl::StrAppend(&text, ".SS ", RoffText(command->get_name()), "\n",
                    RoffText(command->get_description()), ".\n", Entries(*command));
    std::vector<std::string> own;
    AppendExamples(*command, &own);
    for (std::string& example : own) {
      if (!absl::c_linear_search(examples, example)) examples.push_back(std::move(example));
    }
  }
  return {absl::StrCat(app.get_name(), ".1"),
          absl::StrCat(text, ManPageTail(codes, examples, ".BR finetune (1)"))};
}

}  // namespace finetune
