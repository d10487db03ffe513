#ifndef FINETUNE_EXPORT_WEIGHT_NAMES_H_
#define FINETUNE_EXPORT_WEIGHT_NAMES_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/model/classifier.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// The package whose names the exported weights get.
enum class WeightNames { kFinetune, kTorchvision, kTimm, kMmpretrain };

// Returns "finetune", "torchvision", "timm" and "mmpretrain": the values of --names.
std::vector<std::string> AllWeightNames();
// Returns the package that `text`, a value of --names, means. Errors: InvalidArgument, with the
// list of values.
absl::StatusOr<WeightNames> ParseWeightNames(const std::string& text);
// Returns the value of --names that means `names`.
std::string ToText(WeightNames names);

// The parameters and buffers of a network under the names of a package.
struct RenamedState {
  TensorList tensors;
  // The Python expression that makes the network, "torchvision.models.resnet50(num_classes=10)", or
  // for mmpretrain a description of it. Empty for finetune's own names.
  std::string network;
};

// Returns the model's parameters and buffers under the names that the package's own network uses,
// so that the package's load_state_dict(strict=True) accepts them. The names come from
// Classifier::other_names(), by which checkpoints of these packages are read. Errors:
// InvalidArgument if the package does not have the network of `config`, as far as weight_names.cc
// knows (CounterpartsOf()); Internal if a layer has no name in other_names() for this package.
absl::StatusOr<RenamedState> RenameState(const Classifier& model, const ModelConfig& config,
                                         WeightNames names);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_WEIGHT_NAMES_H_
