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
// those of Classifier::other_names(). Floating-point types are converted. A one-element integer
// tensor counts something, as num_batches_tracked does; it may be missing, left over or of another
// type.
//
// Errors, after each of which the model is as it was: InvalidArgument with the names on both sides
// where a tensor is missing, left over or of another shape and the config does not allow it, or
// where it is missing in a frozen stage, or where the names leave open which padding and epsilon
// the weights want (Backbone::CheckNames()); DataLoss for a value that is not finite, or a negative
// variance.
absl::StatusOr<LoadReport> LoadPretrained(const StateDict& checkpoint,
                                          const PretrainedConfig& pretrained, Classifier* model);

// The flags of `finetune evaluate` that say how it loads a checkpoint's weights.
struct EvaluatedWeights {
  std::string prefix;
  bool adapt_input_channels = false;
  // "ema" or "raw": the averaged or the raw weights of a file that has both. Empty: the averaged
  // ones of a checkpoint of finetune, and otherwise those that ReadStateDict() takes.
  std::string weights;
};

// Copies the weights of backbone and head. No tensor may be missing, and none of the backbone's may
// be left over. Errors: as for LoadPretrained().
absl::StatusOr<LoadReport> LoadClassifier(const StateDict& checkpoint, const EvaluatedWeights& how,
                                          Classifier* model);

// Does the same for the checkpoint from which a run resumes. Its names are the model's own.
absl::StatusOr<LoadReport> LoadResumed(const StateDict& checkpoint, Classifier* model);

// Returns a sentence about the tensors with finite values whose squares float32 cannot hold: a
// network with such weights computes infinities. Returns "" where there are none. `of`: the
// beginning of the sentence, such as "the momentum of ".
std::string WarnOfHugeValues(absl::string_view of, const TensorList& tensors);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LOAD_H_
