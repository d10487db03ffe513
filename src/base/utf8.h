#ifndef FINETUNE_BASE_UTF8_H_
#define FINETUNE_BASE_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns `text` with U+FFFD in place of each byte that is not part of a well-formed UTF-8
// character. File names may hold any bytes, but formats such as JSON hold only UTF-8.
std::string ValidUtf8(absl::string_view text);

// Returns the longest prefix of a UTF-8 text that has at most `most` bytes and does not end inside
// a character.
absl::string_view Utf8Start(absl::string_view text, size_t most);

}  // namespace finetune

#endif  // FINETUNE_BASE_UTF8_H_
