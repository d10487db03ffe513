#ifndef FINETUNE_MODEL_LOAD_H_
#define FINETUNE_MODEL_LOAD_H_

#include <string>
#include <vector>

#include "src/checkpoint/state_dict.h"
#include "src/config/experiment.pb.h"
#include "src/model/classifier.h"

namespace finetune {

// The result of copying a checkpoint's tensors into a model.
struct LoadReport {
  // The number of the model's tensors that the checkpoint has.
  int matched = 0;
  // Names of the model's tensors that the checkpoint lacks.
  std::vector<std::string> missing;
  // Names of the checkpoint's tensors that the model has no place for.
  std::vector<std::string> unused;
  // Tensors whose shape or type does not fit, as texts such as "name: [64, 3, 7, 7] in the
  // checkpoint, [64, 3, 3, 3] in the model".
  std::vector<std::string> mismatched;
  // Sentences for the log, such as: the prefix did not fit; the checkpoint has a second set of
  // weights; the first convolution was adapted.
  std::vector<std::string> notes;
  // Sentences about likely mistakes: a setting without effect, or values too large to compute with.
  std::vector<std::string> warnings;

  // Returns a text such as "318 tensors matched; 2 missing: ...".
  std::string Summary() const;
};

// Copies a checkpoint's weights into a new model: the backbone's and, with pretrained.with_head,
// the head's. The checkpoint's names may be mmpretrain's ("backbone.conv1.weight",
// "head.fc.weight"), the same without "backbone." and "head." ("conv1.weight", "fc.weight"), or
// those of Classifier::other_names(). Floating-point types are converted, and so are tensors in
// another form of the same weights (Backbone::ConvertWeights()). A one-element integer
// tensor counts something, as num_batches_tracked does; it may be missing, left over or of another
// type.
//
// Errors, all of which leave the model unchanged:
// - InvalidArgument, with the names on both sides, if a tensor is missing or left over and the
//   config does not allow this, if shapes differ, or if a tensor of a frozen stage is missing.
// - InvalidArgument if the checkpoint's names do not tell which padding and epsilon its weights
//   need (Backbone::CheckNames()).
// - DataLoss for a value that is not finite, or a negative variance.
absl::StatusOr<LoadReport> LoadPretrained(const StateDict& checkpoint,
                                          const PretrainedConfig& pretrained, Classifier* model);

// The flags of `finetune evaluate` and others that say how they load a checkpoint's weights.
struct EvaluatedWeights {
  std::string prefix;  // as PretrainedConfig.prefix
  bool adapt_input_channels = false;
  // The weights to take from a file with averaged and raw weights: "ema" or "raw". Empty: the
  // averaged weights of finetune's own checkpoints, and ReadStateDict()'s choice for other files.
  std::string weights;
};

// Copies a checkpoint's weights into backbone and head. No tensor may be missing or left over.
// Errors: as for LoadPretrained().
absl::StatusOr<LoadReport> LoadClassifier(const StateDict& checkpoint, const EvaluatedWeights& how,
                                          Classifier* model);

// Copies the weights of the checkpoint from which a run resumes. Its names are the model's own. No
// tensor may be missing or left over. Errors: as for LoadPretrained().
absl::StatusOr<LoadReport> LoadResumed(const StateDict& checkpoint, Classifier* model);

// Returns a sentence about the tensors with finite values whose squares float32 cannot hold: a
// network with such weights computes infinities. Returns "" where there are none. `of`: the
// beginning of the sentence, such as "the momentum of ".
std::string WarnOfHugeValues(absl::string_view of, const TensorList& tensors);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LOAD_H_
