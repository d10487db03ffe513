#ifndef FINETUNE_OBSERVE_NPY_HEADER_H_
#define FINETUNE_OBSERVE_NPY_HEADER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// The bytes before an array's values in NumPy's format, version 1.0: the magic, the length of a
// Python dict's text, the text. Values follow in C order. `descr`: the type as Python has it:
// "'<f4'".
std::string NpyHeader(absl::string_view descr, const std::vector<int64_t>& shape);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_NPY_HEADER_H_
