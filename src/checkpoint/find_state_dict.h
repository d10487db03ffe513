#ifndef FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
#define FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/checkpoint/format.h"

namespace finetune {

// The keys under which training programs keep the weights that they train or evaluate. The first
// that a file has is taken.
inline constexpr absl::string_view kUsualKeys[] = {"state_dict", "model",   "model_state_dict",
                                                   "net",        "network", "weights",
                                                   "params",     "module",  "student"};

// One of a checkpoint's state dicts, and why it was taken.
struct FoundStateDict {
  Place place;
  // Names the other state dicts; empty where there are none.
  std::string note;
};

// Chooses among `places`, which must not be empty, as ReadStateDict documents. Errors:
// InvalidArgument that lists the places.
absl::StatusOr<FoundStateDict> FindStateDict(const std::vector<Place>& places,
                                             const std::string& key);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
