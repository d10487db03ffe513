#ifndef FINETUNE_DATA_CLASSES_H_
#define FINETUNE_DATA_CLASSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// Class names in the order of their labels: of a data set, or of the outputs of a model. Two data
// sets that were prepared apart may number the same classes differently, so labels are compared by
// name, never by number.
using ClassNames = std::vector<std::string>;

// Returns, for each label of `from`, the label in `to` that has the same name. Where `to` has a
// name twice (ImageNet has two cranes), the label of the same number is taken if it has that name.
// Errors: InvalidArgument where `from` has a name that `to` lacks, or cannot be told from another,
// with the names that differ.
absl::StatusOr<std::vector<int64_t>> MapClasses(const ClassNames& from, const ClassNames& to);

// Whether MapClasses changes no label.
bool IsIdentity(const std::vector<int64_t>& map);

// The names in `names` that `others` lacks.
ClassNames NamesWithout(const ClassNames& names, const ClassNames& others);

// For a message: up to `most` names in quotes, and how many more there are. Control characters are
// escaped and long names cut, for names may come from a foreign file.
std::string QuoteNames(const ClassNames& names, size_t most = 10);

}  // namespace finetune

#endif  // FINETUNE_DATA_CLASSES_H_
