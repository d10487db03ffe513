#ifndef FINETUNE_BASE_UTF8_H_
#define FINETUNE_BASE_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// The text with each byte that is not part of a well-formed UTF-8 character replaced by U+FFFD, for
// formats that hold UTF-8 alone. File names may hold any bytes.
std::string ValidUtf8(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_BASE_UTF8_H_
