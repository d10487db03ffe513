#ifndef FINETUNE_CONFIG_FIELD_PATH_H_
#define FINETUNE_CONFIG_FIELD_PATH_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// One step of a path: a field, and the index of a list's element ("pipeline[2]"); -1 without an
// index.
struct FieldStep {
  const google::protobuf::FieldDescriptor* field;
  int index;
};

// Resolves a path such as "a.b[2].c" in the schema of ExperimentConfig. It does not look at values,
// so an index may be past the end of its list. Errors: InvalidArgument that names the part of the
// path that is wrong.
absl::StatusOr<std::vector<FieldStep>> ResolvePath(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_FIELD_PATH_H_
