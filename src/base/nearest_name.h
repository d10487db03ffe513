#ifndef FINETUNE_BASE_NEAREST_NAME_H_
#define FINETUNE_BASE_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// The name among `known` that `name` is most likely a slip of, or "" when none is near (more than a
// third of its letters differ, by Levenshtein's distance).
std::string NearestName(absl::string_view name, const std::vector<std::string>& known);

}  // namespace finetune

#endif  // FINETUNE_BASE_NEAREST_NAME_H_
