#ifndef FINETUNE_TRAIN_MATCH_CONFIG_H_
#define FINETUNE_TRAIN_MATCH_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"
#include "src/config/config.h"
#include "src/config/diff.h"

namespace finetune {

// A checkpoint carries the config of its run. These functions compare it with the config in use.
//
// Many settings of a network change no tensor's shape: where padding lies, an epsilon, which
// convolution has a stride. Weights that were trained with another value load without an error and
// give wrong results. So every field of `model` is compared, except those that a list names as
// harmless; a field that is added to experiment.proto is compared until it is listed.

// Returns the fields of `part` ("model" or "model.backbone") whose values give the same weights
// another meaning. `left` of a difference is the value in `saved`, the config with which the
// weights were trained; `right` is that in `used`.
std::vector<FieldDiff> NetworkDifferences(const LoadedConfig& saved, const LoadedConfig& used,
                                          const std::string& part);

// Returns "model.backbone.resnet.style: found CAFFE (a.pbtxt:3:5), expected PYTORCH", and so for
// each difference.
std::string DescribeDifferences(const std::vector<FieldDiff>& differences);

// Checks that the network of `used` is the one in which the weights of a checkpoint with this
// `meta` were trained. A checkpoint that carries no config is accepted. Returns a warning where it
// carries one that this program cannot read, and "" otherwise. `advice`: the end of the error, a
// sentence that says what to do. Errors: InvalidArgument, with each field that differs and both
// values.
absl::StatusOr<std::string> CheckNetwork(const Value& meta, const LoadedConfig& used,
                                         const std::string& advice);
// Does the same with `saved`, the result of ReadCheckpointConfig() for the checkpoint.
absl::StatusOr<std::string> CheckNetwork(const absl::StatusOr<std::optional<LoadedConfig>>& saved,
                                         const LoadedConfig& used, const std::string& advice);

// Does the same for a checkpoint whose weights a new run starts from. Such a run may change the
// network on purpose, because training adapts the weights; a field that differs is then set in
// `used`, and the returned warning names it. Compares the backbone, and with pretrained.with_head
// neck and head too. Errors: InvalidArgument where a field that differs is not set in `used`.
absl::StatusOr<std::string> CheckFirstNetwork(const Value& meta, const LoadedConfig& used);

// Returns a sentence for the log with the fields in which `used` differs from the config of the run
// that is resumed; "" where there are none. Leaves out fields that do not change what is computed,
// such as those for logs and for the number of threads.
std::string DescribeChanges(const LoadedConfig& saved, const LoadedConfig& used);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_MATCH_CONFIG_H_
