#ifndef FINETUNE_CONFIG_DIFF_H_
#define FINETUNE_CONFIG_DIFF_H_

#include <string>
#include <vector>

#include "src/config/config.h"

namespace finetune {

// One side of a difference.
struct DiffSide {
  std::string value;  // in text format; a message or list is on one line
  std::string place;  // where it was set; empty if it is not set
};

// A field that differs between two configs.
struct FieldDiff {
  std::string path;  // as --set takes it: "data.train.pipeline[0].random_crop.size"
  DiffSide left, right;
};

// Returns the fields that differ, in the order of experiment.proto. A message that only one config
// has is one difference. A list of scalars is one field; elements of a list of messages are
// compared by index. A field that is set to its default equals a field that is not set. A config's
// name is not compared if both configs got it from their file names.
std::vector<FieldDiff> DiffConfigs(const LoadedConfig& left, const LoadedConfig& right);

// Returns the differences as text to print: each field with both values and their places. "" for no
// differences.
std::string FormatDiff(const std::vector<FieldDiff>& diffs);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_DIFF_H_
