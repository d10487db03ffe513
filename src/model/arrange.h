#ifndef FINETUNE_MODEL_ARRANGE_H_
#define FINETUNE_MODEL_ARRANGE_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/checkpoint/state_dict.h"
#include "src/model/builder.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// A checkpoint's tensors by the names that a model has for them. Checkpoints name the same network
// in three ways: mmpretrain's and ours ("backbone.conv1.weight", "head.fc.weight"), the same
// without "backbone." and "head." ("conv1.weight", "fc.weight"), and a package's own, which the
// network lists (LayerNames). Each may stand below a prefix.

// The start of the model's own names for its backbone.
inline constexpr absl::string_view kBackbone = "backbone.";

// Whether a tensor of the model depends on the number of classes. `name`: the model's.
bool IsHead(absl::string_view name);

// Whether the tensor counts batches. Nothing here reads it.
bool IsCounter(absl::string_view name);

// An entry of the checkpoint.
struct Entry {
  std::string name;        // in the checkpoint
  at::Tensor tensor;       // not defined where the file has something else
  std::string unreadable;  // then: what it has
};
using Given = std::map<std::string, Entry>;  // by the model's names

// The entries below `prefix` (which may be empty) that are the backbone's or the head's, by the
// first way of naming in which there is a tensor of `backbone`. Empty where there is none.
//
// Where nothing but the prefix tells the backbone's tensors from others, all count as the
// backbone's, so that a foreign network shows in those left over. An entry that is not a plain
// tensor then counts only inside of the backbone's own modules.
Given Arrange(const StateDict& checkpoint, absl::string_view prefix, const TensorList& backbone,
              const LayerNames& other_names);

// The prefixes below which `tensors` hold most of the backbone's names: of those, the ones with the
// most tensors that fit in shape too. "" stands for names without a prefix.
std::vector<std::string> FittingPrefixes(const TensorList& tensors, const TensorList& backbone,
                                         const LayerNames& other_names);

}  // namespace finetune

#endif  // FINETUNE_MODEL_ARRANGE_H_
