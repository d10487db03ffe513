#include "src/base/byte_size.h"

#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace finetune {

absl::StatusOr<int64_t> ParseByteSize(absl::string_view text) {
  constexpr absl::string_view kUnits = "KMGT";
  constexpr double kMost = double{1ULL << 60};
  absl::string_view number = text;
  absl::ConsumeSuffix(&number, "iB");
  const size_t unit = number.empty() ? absl::string_view::npos : kUnits.find(number.back());
  double value = 0;
  if (unit != absl::string_view::npos &&
      absl::SimpleAtod(number.substr(0, number.size() - 1), &value)) {
    for (size_t i = 0; i <= unit; ++i) value *= 1024;
    if (value >= 1 && value <= kMost) return static_cast<int64_t>(value);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected a size such as 40GiB or 512MiB, got ", text));
}

}  // namespace finetune
