#ifndef FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
#define FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/checkpoint/format.h"

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

// Chooses a state dict by the rules that reader.h gives for ReadStateDict(). `places`: all state
// dicts of the file; not empty. `key`: the keys that lead to the state dict, joined by "." ("a.b"),
// or empty. Errors: InvalidArgument, which lists the places, if `key` leads to none or if several
// places are equally likely.
absl::StatusOr<FoundStateDict> FindStateDict(const std::vector<Place>& places,
                                             const std::string& key);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
