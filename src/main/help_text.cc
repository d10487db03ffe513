#include "src/main/help_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace finetune {
namespace {

constexpr size_t kColumns = 100;

// A name and its explanation: one row of the help.
struct Row {
  std::string name;
  std::string text;
};

// Returns the rows as two columns. Lines wrap at kColumns.
std::string Table(const std::vector<Row>& rows) {
  size_t left = 0;
  for (const Row& row : rows) left = std::max(left, row.name.size() + 4);
  std::string table;
  for (const Row& row : rows) {
    std::string line = absl::StrCat("  ", row.name);
    line.resize(left, ' ');
    bool begun = false;
    for (const absl::string_view word : absl::StrSplit(row.text, ' ')) {
      if (begun && line.size() + 1 + word.size() > kColumns) {
        absl::StrAppend(&table, line, "\n");
        line.assign(left, ' ');
        begun = false;
      }
      absl::StrAppend(&line, begun ? " " : "", word);
      begun = true;
    }
    absl::StrAppend(&table, line, "\n");
  }
  return table;
}

std::string ExamplesOf(const std::vector<std::string>& lines) {
  std::string text = lines.size() == 1 ? "\nExample:\n" : "\nExamples:\n";
  for (const std::string& line : lines) absl::StrAppend(&text, "  ", line, "\n");
  return text;
}

}  // namespace

std::string HelpOf(Command& command) {
  FlagList list;
  command.AddFlags(&list);
  std::string usage = absl::StrCat("Usage: finetune ", command.name());
  bool has_flags = false;
  std::vector<Row> rows;
  for (const Flag& flag : list.flags()) {
    if (flag.IsPositional()) {
      absl::StrAppend(&usage, flag.required ? " " : " [", flag.name, flag.required ? "" : "]");
    } else {
      has_flags = true;
    }
    rows.push_back({flag.IsPositional() || flag.value.empty()
                        ? flag.name
                        : absl::StrCat(flag.name, "=", flag.value),
                    flag.help});
  }
  return absl::StrCat(command.summary(), "\n", usage, has_flags ? " [FLAGS]" : "", "\n",
                      rows.empty() ? "" : "\n", Table(rows), ExamplesOf(command.examples()));
}

std::string HelpOf(const CommandList& commands) {
  std::vector<Row> rows;
  rows.reserve(commands.size());
  for (const auto& command : commands) rows.push_back({command->name(), command->summary()});
  return absl::StrCat(
      "Fine-tunes an image classifier on the ranks of mpirun.\nUsage: finetune [COMMAND] [FLAGS]\n"
      "\nCommands (finetune COMMAND --help says more of each):\n",
      Table(rows), ExamplesOf({commands.front()->examples().front()}),
      "Exit codes: 0 done; 1 failed; 2 wrong flags or config; 75 saved after a signal "
      "(--resume=auto)\n");
}

}  // namespace finetune
