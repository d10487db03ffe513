#ifndef FINETUNE_CONFIG_FIELD_PATH_H_
#define FINETUNE_CONFIG_FIELD_PATH_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// One step of a path: a field, and the index of an element where it has one ("pipeline[2]"), else
// -1.
struct FieldStep {
  const google::protobuf::FieldDescriptor* field;
  int index;
};

// Follows "a.b[2].c" through the schema of ExperimentConfig. Does not look at any values: an index
// may be past the end of its list. Errors: InvalidArgument that names what is wrong with the path.
absl::StatusOr<std::vector<FieldStep>> ResolvePath(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_FIELD_PATH_H_
