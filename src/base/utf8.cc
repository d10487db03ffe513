#include "src/base/utf8.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

// Returns the number of bytes of the UTF-8 character at the start of `text`, which must not be
// empty. Returns 0 where the bytes are not well-formed UTF-8 (Unicode 15, table 3-7).
size_t Utf8CharacterSize(absl::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char c = at(0);
  if (c < 0x80) return 1;
  size_t size;
  unsigned char low = 0x80, high = 0xBF;  // the range that the second byte must be in
  if (c >= 0xC2 && c <= 0xDF) {
    size = 2;
  } else if (c >= 0xE0 && c <= 0xEF) {
    size = 3;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
  } else if (c >= 0xF0 && c <= 0xF4) {
    size = 4;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < size || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < size; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  return size;
}

}  // namespace

std::string ValidUtf8(absl::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t size = Utf8CharacterSize(text);
    absl::StrAppend(&valid, size == 0 ? "\xEF\xBF\xBD" : text.substr(0, size));
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return valid;
}

absl::string_view Utf8Start(absl::string_view text, size_t most) {
  if (text.size() <= most) return text;
  // A byte with the bits 10xxxxxx is not the first of its character, so the cut moves left.
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

}  // namespace finetune
