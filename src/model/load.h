#ifndef FINETUNE_MODEL_LOAD_H_
#define FINETUNE_MODEL_LOAD_H_

#include <string>
#include <vector>

#include "src/checkpoint/state_dict.h"
#include "src/config/experiment.pb.h"
#include "src/model/classifier.h"

namespace finetune {

// How a checkpoint's tensors and a model's came together.
struct LoadReport {
  int matched = 0;
  // Names of the model's tensors that the checkpoint lacks.
  std::vector<std::string> missing;
  // Names of the checkpoint's tensors that the model has no place for.
  std::vector<std::string> unused;
  // "name: [64, 3, 7, 7] in the checkpoint, [64, 3, 3, 3] in the model".
  std::vector<std::string> mismatched;
  // Sentences for the log: a prefix that did not fit, a second set of weights, a convolution that
  // was adapted.
  std::vector<std::string> notes;
  // The same for what is likely wrong: a setting without effect, values beyond all use.
  std::vector<std::string> warnings;

  // "318 tensors matched; 2 missing: ...".
  std::string Summary() const;
};

// Copies a checkpoint's weights into a new model as `pretrained` says: the backbone's, and with
// with_head the head's. Names are mmpretrain's ("backbone.conv1.weight", "head.fc.weight") or
// torchvision's and timm's ("conv1.weight", "fc.weight") or those of Classifier::other_names().
// Floating-point types are
// converted. Integers of one element count something, as num_batches_tracked does; they may be
// missing, left over or of another type.
//
// Errors, after each of which the model is as it was: InvalidArgument with the names on both sides
// where a tensor is missing, left over or of another shape and the config does not allow it, or
// where it is missing in a frozen stage; DataLoss for a value that is not finite, or a negative
// variance.
absl::StatusOr<LoadReport> LoadPretrained(const StateDict& checkpoint,
                                          const PretrainedConfig& pretrained, Classifier* model);

// How `finetune evaluate` takes a checkpoint's weights; each is a flag of that name.
struct EvaluatedWeights {
  std::string prefix;
  bool adapt_input_channels = false;
  // "ema" or "raw": the averaged or the raw weights of a file that has both. Empty: the averaged
  // ones of a checkpoint of finetune, and otherwise those that ReadStateDict() takes.
  std::string weights;
};

// Copies a whole classifier, backbone and head. Nothing may be missing, and no tensor of the
// backbone left over. Errors: as above.
absl::StatusOr<LoadReport> LoadClassifier(const StateDict& checkpoint, const EvaluatedWeights& how,
                                          Classifier* model);

// The same of a checkpoint that a run goes on from, whose names are the model's own.
absl::StatusOr<LoadReport> LoadResumed(const StateDict& checkpoint, Classifier* model);

// A sentence about tensors whose values are finite and yet so large that their squares are not:
// a network that holds them computes infinities. Empty where there are none. `of`: what they are
// of, as "the momentum of ".
std::string WarnOfHugeValues(absl::string_view of, const TensorList& tensors);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LOAD_H_
