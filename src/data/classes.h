#ifndef FINETUNE_DATA_CLASSES_H_
#define FINETUNE_DATA_CLASSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// The class names of a data set or of a model's outputs, in the order of the labels. Two data sets
// that were prepared separately may number the same classes differently. So labels are matched by
// class name, not by number.
using ClassNames = std::vector<std::string>;

// Returns a map from labels of `from` to labels of `to`: map[i] is the label that has the name
// from[i] in `to`. If `to` has a name twice (ImageNet has "crane" twice, the bird and the machine),
// from[i] and to[i] must both have this name, and then map[i] is i. Errors: InvalidArgument, with
// the names that differ, if `to` lacks a name of `from`; InvalidArgument if a name that `to` has
// twice has another label in `from`.
absl::StatusOr<std::vector<int64_t>> MapClasses(const ClassNames& from, const ClassNames& to);

// Returns whether `map`, from MapClasses(), maps every label to itself.
bool IsIdentity(const std::vector<int64_t>& map);

// Returns the names in `names` that are not in `others`.
ClassNames NamesWithout(const ClassNames& names, const ClassNames& others);

// Returns text for a message: at most `most` names in quotes, and the number of the others. Control
// characters are escaped and long names are shortened, because names may come from a foreign file.
std::string QuoteNames(const ClassNames& names, size_t most = 10);

}  // namespace finetune

#endif  // FINETUNE_DATA_CLASSES_H_
