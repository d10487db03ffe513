#ifndef FINETUNE_DATA_TOOLS_MAN_PAGE_H_
#define FINETUNE_DATA_TOOLS_MAN_PAGE_H_

#include <CLI/CLI.hpp>

#include "src/base/man_page.h"

namespace finetune {

// The first line of the page. It marks the file as written by prepare_dataset.
inline constexpr char kPrepareManFirstLine[] = ".\\\" Written by prepare_dataset --man.";

// Returns the manual page of prepare_dataset, made from what its help shows. `app`: the program's
// commands and flags. The lines of a footer that begin with two spaces are examples.
ManPage PrepareManPage(const CLI::App& app, const ExitCodes& codes);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_MAN_PAGE_H_
