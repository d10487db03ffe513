#include "src/main/man_page.h"

#include "absl/strings/str_cat.h"
#include "src/base/exit_code.h"

namespace finetune {
namespace {

ExitCodes Codes() {
  return {{kExitDone, "Done."},
          {kExitFailed, "The run failed, or a file is damaged."},
          {kExitUsage, "The flags or the config are wrong, or a file that they name."},
          {kExitStopped, "Stopped by a signal after saving; run again with --resume=auto."}};
}

std::string FileOf(const Command& command) { return absl::StrCat("finetune-", command.name()); }

std::string PageOf(Command& command) {
  FlagList list;
  command.AddFlags(&list);
  std::string synopsis = RoffBold(absl::StrCat("finetune ", command.name()));
  std::string options;
  bool has_flags = false;
  for (const Flag& flag : list.flags()) {
    if (flag.IsPositional()) {
      const std::string name = RoffItalic(flag.name);
      absl::StrAppend(&synopsis, " ", flag.required ? name : absl::StrCat("[", name, "]"),
                      flag.repeatable ? " ..." : "");
      absl::StrAppend(&options, RoffEntry(name, flag.help));
      continue;
    }
    has_flags = true;
    const std::string value = flag.value.empty() ? "" : absl::StrCat("=", RoffItalic(flag.value));
    absl::StrAppend(&options, RoffEntry(absl::StrCat(RoffBold(flag.name), value), flag.help));
  }
  if (has_flags) absl::StrAppend(&synopsis, " [", RoffItalic("FLAGS"), "]");
  return absl::StrCat(ManPageHead(kManPageFirstLine, FileOf(command), command.summary()), synopsis,
                      "\n", options.empty() ? "" : ".SH OPTIONS\n", options,
                      ManPageTail(Codes(), command.examples(), ".BR finetune (1)"));
}

std::string PageOf(const CommandList& commands) {
  std::string rows;
  for (const auto& command : commands) {
    absl::StrAppend(&rows, RoffEntry(absl::StrCat(".BR ", RoffText(FileOf(*command)), " (1)"),
                                     command->summary()));
  }
  return absl::StrCat(
      ManPageHead(kManPageFirstLine, "finetune",
                  "fine-tune an image classifier on the ranks of mpirun"),
      RoffBold("finetune"), " [", RoffItalic("COMMAND"), "] [", RoffItalic("FLAGS"),
      "]\n.SH COMMANDS\n", "Without a command it is ", RoffBold(commands.front()->name()), ".\n",
      rows, ".SH ENVIRONMENT\n",
      RoffEntry(RoffBold("FINETUNE_CONFIG_PATH"),
                "Folders to seek configs and their imports in, separated by colons, after those of "
                "--config_path."),
      RoffEntry(RoffBold("NO_COLOR"), "Set to any text: a terminal gets no colors."),
      ManPageTail(Codes(), commands.front()->examples(),
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
