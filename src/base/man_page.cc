#include "src/base/man_page.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/base/atomic_file.h"
#include "src/base/own_file.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"
#include "src/base/version.h"

namespace finetune {

std::string RoffText(absl::string_view text) {
  std::string roff = absl::StrReplaceAll(text, {{"\\", "\\e"},
                                                {"-", "\\-"},
                                                {"'", "\\(aq"},
                                                {"`", "\\(ga"},
                                                {"~", "\\(ti"},
                                                {"^", "\\(ha"}});
  if (absl::string_view(roff).substr(0, 1) == ".") roff.insert(0, "\\&");
  return roff;
}

std::string RoffBold(absl::string_view text) {
  return absl::StrCat("\\fB", RoffText(text), "\\fR");
}

std::string RoffItalic(absl::string_view text) {
  return absl::StrCat("\\fI", RoffText(text), "\\fR");
}

std::string RoffEntry(absl::string_view term, absl::string_view text) {
  return absl::StrCat(".TP\n", term, "\n", RoffText(text), "\n");
}

std::string ManPageHead(absl::string_view first_line, absl::string_view name,
                        absl::string_view summary) {
  return absl::StrCat(first_line, "\n.TH ", RoffText(absl::AsciiStrToUpper(name)), " 1 \"\" \"",
                      kFinetuneWriter, "\" \"User Commands\"\n.SH NAME\n", RoffText(name), " \\- ",
                      RoffText(summary), "\n.SH SYNOPSIS\n");
}

std::string ManPageTail(const ExitCodes& codes, const std::vector<std::string>& examples,
                        absl::string_view see_also) {
  std::string text = ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : codes) {
    absl::StrAppend(&text, RoffEntry(RoffBold(absl::StrCat(code)), meaning));
  }
  absl::StrAppend(&text, ".SH EXAMPLES\n.nf\n");
  for (const std::string& example : examples) absl::StrAppend(&text, RoffText(example), "\n");
  absl::StrAppend(&text, ".fi\n");
  if (!see_also.empty()) absl::StrAppend(&text, ".SH SEE ALSO\n", see_also, "\n");
  return text;
}

absl::StatusOr<std::string> WriteManPages(const std::vector<ManPage>& pages,
                                          const std::string& folder, absl::string_view first_line) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return SystemError("cannot create", folder, error.value());
  const auto path_of = [&](const ManPage& page) { return absl::StrCat(folder, "/", page.file); };
  for (const ManPage& page : pages) FT_RETURN_IF_ERROR(CheckOwnText(path_of(page), first_line));
  std::string paths;
  for (const ManPage& page : pages) {
    FT_RETURN_IF_ERROR(WriteFileAtomically(path_of(page), page.text));
    absl::StrAppend(&paths, path_of(page), "\n");
  }
  return paths;
}

}  // namespace finetune
