#ifndef FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
#define FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/checkpoint/format.h"
#include "src/checkpoint/state_dict.h"

namespace finetune {

// The keys under which training programs store weights in a checkpoint. If a dict has several of
// these keys, the first one in this list is taken.
inline constexpr absl::string_view kUsualKeys[] = {"state_dict", "model",   "model_state_dict",
                                                   "net",        "network", "weights",
                                                   "params",     "module",  "student"};

// The state dict that was chosen in a checkpoint.
struct FoundStateDict {
  Place place;
  // A sentence for the user that names the other state dicts of the file; empty if there are none.
  std::string note;
};

// Chooses a state dict among `places`, which must not be empty, as ReadStateDict documents. `key`:
// empty, or the keys that lead to the state dict ("a.b"). `choice`: used where `key` is empty.
// Errors: InvalidArgument that lists the places; InvalidArgument where `choice` is kAveraged and
// the file has no averaged weights.
absl::StatusOr<FoundStateDict> FindStateDict(const std::vector<Place>& places,
                                             const std::string& key, WeightsChoice choice);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
