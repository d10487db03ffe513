#ifndef FINETUNE_EXPORT_WEIGHT_NAMES_H_
#define FINETUNE_EXPORT_WEIGHT_NAMES_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/model/classifier.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// The programs under whose names weights can be written.
enum class WeightNames { kFinetune, kTorchvision, kTimm, kMmpretrain };

// "finetune", "torchvision", ...: the values of --names.
std::vector<std::string> AllWeightNames();
// Errors: InvalidArgument with the nearest value.
absl::StatusOr<WeightNames> ParseWeightNames(const std::string& text);
std::string ToText(WeightNames names);

// The state of a network under the names of a package.
struct RenamedState {
  TensorList tensors;
  // How the package makes the network: "torchvision.models.resnet50(num_classes=10)". Empty for
  // finetune's own names.
  std::string network;
};

// Returns the model's parameters and buffers under the names that the package's own network has for
// them, so that its load_state_dict(strict=True) takes them. The names are those by which the
// readers know the package's checkpoints (Classifier::other_names()). Errors: InvalidArgument where
// the package does not have the network of `config`.
absl::StatusOr<RenamedState> RenameState(const Classifier& model, const ModelConfig& config,
                                         WeightNames names);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_WEIGHT_NAMES_H_
