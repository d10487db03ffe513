#ifndef FINETUNE_MODEL_ARRANGE_H_
#define FINETUNE_MODEL_ARRANGE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/checkpoint/state_dict.h"
#include "src/model/builder.h"
#include "src/model/given.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Maps a checkpoint's tensors to the names that the model has for them. Checkpoints name the same
// network in three ways:
// - as mmpretrain and this program do: "backbone.conv1.weight", "head.fc.weight";
// - the same without "backbone." and "head.": "conv1.weight", "fc.weight";
// - by another package's layer names, which the network lists (LayerNames).
// Each name may follow a prefix such as "ema.".

// The model's own names of its backbone's tensors begin with this.
inline constexpr absl::string_view kBackbone = "backbone.";

// Returns whether the shape of a tensor depends on the number of classes. `name`: the model's name.
bool IsHead(absl::string_view name);

// Returns whether the tensor is a batch norm's num_batches_tracked. This program never computes
// with these.
bool IsCounter(absl::string_view name);

// Returns the entries below `prefix` (which may be empty) that belong to the backbone or the head.
// Uses the first of the three ways of naming by which the checkpoint has at least one tensor of
// `backbone`. Returns an empty map where none does.
//
// In the ways without "backbone.", every entry below the prefix counts as the backbone's, so that
// the tensors of another network are reported as left over. An entry that is not a plain tensor
// then counts only if its first name part is a module of the backbone or the head.
Given Arrange(const StateDict& checkpoint, absl::string_view prefix, const TensorList& backbone,
              const LayerNames& other_names);

// Returns the prefixes below which `tensors` have at least half of the backbone's names. Where
// there are several, returns those with the most tensors that also have the right shape. "" is the
// empty prefix.
std::vector<std::string> FittingPrefixes(const TensorList& tensors, const TensorList& backbone,
                                         const LayerNames& other_names);

}  // namespace finetune

#endif  // FINETUNE_MODEL_ARRANGE_H_
