#ifndef FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_
#define FINETUNE_CHECKPOINT_FIND_STATE_DICT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/format.h"

namespace finetune {

// The chosen state dict of a checkpoint.
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
