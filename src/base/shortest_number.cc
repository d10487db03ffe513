#include "src/base/shortest_number.h"

#include <charconv>
#include <cmath>

namespace finetune {
namespace {

template <typename Number>
std::string Shortest(Number value) {
  if (std::isnan(value)) return "nan";  // without the sign that some processors set
  const Number size = std::abs(value);
  const bool plain = size == 0 || (size >= Number{1e-4} && size < Number{1e15});
  // A plain double of this range has at most 24 characters, one with an exponent as well.
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  return {text, end.ptr};
}

}  // namespace

std::string ShortestNumber(double value) { return Shortest(value); }
std::string ShortestNumber(float value) { return Shortest(value); }

}  // namespace finetune
