#ifndef FINETUNE_CONFIG_REFERENCE_H_
#define FINETUNE_CONFIG_REFERENCE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// Explains the field of a config at `path`, as --set takes it ("optimizer.sgd", "topk",
// "data.train.pipeline[0]"): its type, default and comment, and for a message those of its fields.
// Empty: the whole config. The comments are those of experiment.proto, which the program carries.
// Lines have 100 columns at most. Errors: InvalidArgument with the nearest field.
absl::StatusOr<std::string> DescribeField(absl::string_view path);

// A field that holds a value, as the completion of a shell offers it after --set=.
struct ValueField {
  std::string path;                 // "optimizer.sgd.lr"; an element of a list of messages is [0]
  std::vector<std::string> values;  // those of an enum or a bool; else empty
};

// All fields of a config that hold values, in the order of experiment.proto.
std::vector<ValueField> ValueFields();

}  // namespace finetune

#endif  // FINETUNE_CONFIG_REFERENCE_H_
