#ifndef FINETUNE_MAIN_MAN_PAGE_H_
#define FINETUNE_MAIN_MAN_PAGE_H_

#include <vector>

#include "src/base/man_page.h"
#include "src/main/command.h"

namespace finetune {

// The first line of every page. It marks the file as written by finetune.
inline constexpr char kManPageFirstLine[] = ".\\\" Written by finetune help --man.";

// Returns the manual pages of the program and of each command, made from what their help shows.
std::vector<ManPage> ManPages(const CommandList& commands);

}  // namespace finetune

#endif  // FINETUNE_MAIN_MAN_PAGE_H_
