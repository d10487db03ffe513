#ifndef FINETUNE_BASE_UTF8_H_
#define FINETUNE_BASE_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns the text with U+FFFD in place of each byte that is not part of a well-formed UTF-8
// character. Formats such as JSON hold only UTF-8, but file names may hold any bytes.
std::string ValidUtf8(absl::string_view text);

// Returns the longest start of a UTF-8 text that has at most `most` bytes and ends with a whole
// character.
absl::string_view Utf8Start(absl::string_view text, size_t most);

}  // namespace finetune

#endif  // FINETUNE_BASE_UTF8_H_
