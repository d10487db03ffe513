#ifndef FINETUNE_CONFIG_REFERENCE_H_
#define FINETUNE_CONFIG_REFERENCE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// Returns the help text for the config's field at `path`, which has the form that --set takes
// ("optimizer.sgd", "topk", "data.train.pipeline[0]"): its type, default and comment. For a message
// it also lists the type, default and comment of each of its fields. An empty path means the whole
// config. The comments are those of experiment.proto, which the program contains. Lines have at
// most 100 columns. Errors: InvalidArgument with the nearest field.
absl::StatusOr<std::string> DescribeField(absl::string_view path);

// A field with a value, as the completion in a shell offers it after --set=.
struct ValueField {
  std::string path;                 // "optimizer.sgd.lr"; an element of a list of messages is [0]
  std::vector<std::string> values;  // the values of an enum or a bool; otherwise empty
};

// Returns all fields of a config that are not messages, in the order of experiment.proto.
std::vector<ValueField> ValueFields();

}  // namespace finetune

#endif  // FINETUNE_CONFIG_REFERENCE_H_
