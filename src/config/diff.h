#ifndef FINETUNE_CONFIG_DIFF_H_
#define FINETUNE_CONFIG_DIFF_H_

#include <string>
#include <vector>

#include "src/config/config.h"

namespace finetune {

// One side of a difference.
struct DiffSide {
  std::string value;  // as text format; a message or list is in one line
  std::string place;  // where it was set; empty where it is not set
};

// A field that two configs do not have alike.
struct FieldDiff {
  std::string path;  // as --set takes it: "data.train.pipeline[0].random_crop.size"
  DiffSide left, right;
};

// The fields that differ, in the order of experiment.proto. A message that only one config has is
// one difference; so is a list of single values. Elements of lists are compared by their index. A
// field that is set to its default is like one that is not set. The name that a config has from its
// file is not compared.
std::vector<FieldDiff> DiffConfigs(const LoadedConfig& left, const LoadedConfig& right);

// The differences for people: each field with both values and their places. "" for none.
std::string FormatDiff(const std::vector<FieldDiff>& diffs);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_DIFF_H_
