#include "src/observe/npy_header.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace finetune {

std::string NpyHeader(absl::string_view descr, const std::vector<int64_t>& shape) {
  std::string text = absl::StrCat("{'descr': ", descr, ", 'fortran_order': False, 'shape': (",
                                  absl::StrJoin(shape, ", "), ",), }");
  // The format pads the whole header with spaces to a multiple of 64 bytes, and ends it with a line
  // feed. kBefore: the bytes before the text.
  constexpr size_t kBefore = 10, kBlock = 64;
  text.append(kBlock - 1 - (kBefore + text.size()) % kBlock, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace finetune
