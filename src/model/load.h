#ifndef FINETUNE_MODEL_LOAD_H_
#define FINETUNE_MODEL_LOAD_H_

#include <string>
#include <vector>

#include "src/model/classifier.h"

namespace finetune {

// What became of a checkpoint's tensors and a model's.
struct LoadReport {
  int matched = 0;
  std::vector<std::string> missing;     // the model has them, the checkpoint has not
  std::vector<std::string> unexpected;  // the other way round
  // "name: [64, 3, 7, 7] in the checkpoint, [64, 3, 3, 3] in the model".
  std::vector<std::string> mismatched;

  // "318 tensors matched; 2 missing: ...".
  std::string Summary() const;
};

// Copies backbone weights into the model: tensors whose name starts with "<prefix>." (no prefix:
// all of them, and mmpretrain's "backbone." is understood by itself). Shapes must match;
// floating-point types are converted. What depends on the number of classes is passed over. Errors:
// InvalidArgument when nothing matched, with names of both sides, or when a shape is another; the
// model is then as it was.
absl::StatusOr<LoadReport> LoadBackbone(const TensorList& checkpoint, const std::string& prefix,
                                        Classifier* model);

// Copies a whole classifier; mmpretrain's names, or torchvision's ("fc.weight"). Errors:
// InvalidArgument when anything is missing or of another shape; the model is then as it was.
absl::StatusOr<LoadReport> LoadClassifier(const TensorList& checkpoint, Classifier* model);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LOAD_H_
