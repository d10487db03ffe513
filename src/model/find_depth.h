#ifndef FINETUNE_MODEL_FIND_DEPTH_H_
#define FINETUNE_MODEL_FIND_DEPTH_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/config/problems.h"

namespace finetune {

// Returns the element of `plans`, an array of structs with a field `depth`, that has this depth. If
// there is none, adds an error about `field` ("resnet.depth") to `problems` and returns null.
template <typename Plans>
auto FindDepth(const Plans& plans, int depth, absl::string_view field, const Problems& problems)
    -> decltype(&plans[0]) {
  std::string depths;
  for (const auto& plan : plans) {
    if (plan.depth == depth) return &plan;
    absl::StrAppend(&depths, depths.empty() ? "" : ", ", plan.depth);
  }
  problems.WrongValue(field, absl::StrCat("is ", depth, "; expected one of ", depths));
  return nullptr;
}

}  // namespace finetune

#endif  // FINETUNE_MODEL_FIND_DEPTH_H_
