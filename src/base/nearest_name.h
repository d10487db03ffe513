#ifndef FINETUNE_BASE_NEAREST_NAME_H_
#define FINETUNE_BASE_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns the name of `known` that `name` most likely misspells: the one at the least edit distance
// (Levenshtein), without regard to case. Returns "" where every distance is more than a third of
// the letters of `name` (more than 2 for a short name) or the whole length of the known name.
std::string NearestName(absl::string_view name, const std::vector<std::string>& known);

}  // namespace finetune

#endif  // FINETUNE_BASE_NEAREST_NAME_H_
