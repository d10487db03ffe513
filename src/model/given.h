#ifndef FINETUNE_MODEL_GIVEN_H_
#define FINETUNE_MODEL_GIVEN_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace finetune {

// One entry of a checkpoint.
struct Entry {
  std::string name;        // as the checkpoint spells it
  at::Tensor tensor;       // undefined where the entry is not a plain tensor
  std::string unreadable;  // for an undefined tensor: what the entry is
};

// The entries of a checkpoint that belong to a model. Keys: the model's names.
using Given = std::map<std::string, Entry>;

}  // namespace finetune

#endif  // FINETUNE_MODEL_GIVEN_H_
