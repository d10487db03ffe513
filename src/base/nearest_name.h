#ifndef FINETUNE_BASE_NEAREST_NAME_H_
#define FINETUNE_BASE_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns the name of `known` that `name` most likely misspells, or "" where none is near: where
// more than a third of the letters differ by Levenshtein's distance.
std::string NearestName(absl::string_view name, const std::vector<std::string>& known);

}  // namespace finetune

#endif  // FINETUNE_BASE_NEAREST_NAME_H_
