#ifndef FINETUNE_OBSERVE_NPY_HEADER_H_
#define FINETUNE_OBSERVE_NPY_HEADER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns the beginning of an .npy file (NumPy's format, version 1.0), after which the array's
// values must follow in C order. `descr`: the type of the values as a Python expression, such as
// "'<f4'". `shape`: the array's shape, of at least one dimension.
std::string NpyHeader(absl::string_view descr, const std::vector<int64_t>& shape);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_NPY_HEADER_H_
