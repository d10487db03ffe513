#include "src/main/man_page.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "src/base/version.h"

namespace finetune {
namespace {

// Returns plain text as roff prints it: a minus stays a minus, quotes stay those of a shell, and no
// line begins a request.
std::string Roff(absl::string_view text) {
  std::string roff = absl::StrReplaceAll(text, {{"\\", "\\e"},
                                                {"-", "\\-"},
                                                {"'", "\\(aq"},
                                                {"`", "\\(ga"},
                                                {"~", "\\(ti"},
                                                {"^", "\\(ha"}});
  if (absl::string_view(roff).substr(0, 1) == ".") roff.insert(0, "\\&");
  return roff;
}

std::string Bold(absl::string_view text) { return absl::StrCat("\\fB", Roff(text), "\\fR"); }
std::string Italic(absl::string_view text) { return absl::StrCat("\\fI", Roff(text), "\\fR"); }

// Returns an entry of a list: a term, and its indented explanation.
std::string Entry(absl::string_view term, absl::string_view text) {
  return absl::StrCat(".TP\n", term, "\n", Roff(text), "\n");
}

std::string Head(const std::string& name, const std::string& summary) {
  return absl::StrCat(kManPageFirstLine, "\n.TH ", Roff(absl::AsciiStrToUpper(name)), " 1 \"\" \"",
                      kFinetuneWriter, "\" \"User Commands\"\n.SH NAME\n", Roff(name), " \\- ",
                      Roff(summary), "\n.SH SYNOPSIS\n");
}

std::string Tail(const std::vector<std::string>& examples, const std::string& see_also) {
  std::string text = absl::StrCat(
      ".SH EXIT STATUS\n", Entry(Bold("0"), "Done."), Entry(Bold("1"), "The run failed."),
      Entry(Bold("2"), "The flags or the config are wrong, or a file that they name."),
      Entry(Bold("75"), "Stopped by a signal after saving; run again with --resume=auto."),
      ".SH EXAMPLES\n.nf\n");
  for (const std::string& example : examples) absl::StrAppend(&text, Roff(example), "\n");
  return absl::StrCat(text, ".fi\n.SH SEE ALSO\n", see_also, "\n");
}

std::string FileOf(const Command& command) { return absl::StrCat("finetune-", command.name()); }

std::string PageOf(Command& command) {
  FlagList list;
  command.AddFlags(&list);
  std::string synopsis = Bold(absl::StrCat("finetune ", command.name()));
  std::string options;
  bool has_flags = false;
  for (const Flag& flag : list.flags()) {
    if (flag.IsPositional()) {
      const std::string name = Italic(flag.name);
      absl::StrAppend(&synopsis, " ", flag.required ? name : absl::StrCat("[", name, "]"),
                      flag.repeatable ? " ..." : "");
      absl::StrAppend(&options, Entry(name, flag.help));
      continue;
    }
    has_flags = true;
    const std::string value = flag.value.empty() ? "" : absl::StrCat("=", Italic(flag.value));
    absl::StrAppend(&options, Entry(absl::StrCat(Bold(flag.name), value), flag.help));
  }
  if (has_flags) absl::StrAppend(&synopsis, " [", Italic("FLAGS"), "]");
  return absl::StrCat(Head(FileOf(command), command.summary()), synopsis, "\n",
                      options.empty() ? "" : ".SH OPTIONS\n", options,
                      Tail(command.examples(), ".BR finetune (1)"));
}

std::string PageOf(const CommandList& commands) {
  std::string rows;
  for (const auto& command : commands) {
    absl::StrAppend(
        &rows, Entry(absl::StrCat(".BR ", Roff(FileOf(*command)), " (1)"), command->summary()));
  }
  return absl::StrCat(
      Head("finetune", "fine-tune an image classifier on the ranks of mpirun"), Bold("finetune"),
      " [", Italic("COMMAND"), "] [", Italic("FLAGS"), "]\n.SH COMMANDS\n",
      "Without a command it is ", Bold(commands.front()->name()), ".\n", rows, ".SH ENVIRONMENT\n",
      Entry(Bold("FINETUNE_CONFIG_PATH"),
            "Folders to seek configs and their imports in, separated by colons, after those of "
            "--config_path."),
      Entry(Bold("NO_COLOR"), "Set to any text: a terminal gets no colors."),
      Tail(commands.front()->examples(),
           "finetune help \\fIFIELD\\fR explains a field of a config, as in finetune help "
           "optimizer.sgd."));
}

}  // namespace

std::vector<ManPage> ManPages(const CommandList& commands) {
  std::vector<ManPage> pages = {{"finetune.1", PageOf(commands)}};
  for (const auto& command : commands) {
    pages.push_back({absl::StrCat(FileOf(*command), ".1"), PageOf(*command)});
  }
  return pages;
}

}  // namespace finetune
