#include "src/metrics/mcnemar.h"

#include <algorithm>
#include <cmath>

namespace finetune {

double McNemarPValue(int64_t only_first, int64_t only_second) {
  const int64_t n = only_first + only_second, k = std::min(only_first, only_second);
  if (only_first == only_second) return 1;
  const auto log_factorial = [](int64_t m) { return std::lgamma(static_cast<double>(m) + 1); };
  // Sums the binomial probabilities of k, k - 1, k - 2, ..., each computed from the one before.
  // They fall ever faster, so for large counts the sum ends long before 0, at the first one that is
  // too small to change it.
  double term = std::exp(log_factorial(n) - log_factorial(k) - log_factorial(n - k) -
                         static_cast<double>(n) * std::log(2.0));
  double tail = 0;
  for (int64_t i = k; i >= 0 && term > 0x1p-60 * tail; --i) {
    tail += term;
    term *= static_cast<double>(i) / static_cast<double>(n - i + 1);
  }
  return std::min(1.0, 2 * tail);
}

PairedResult CompareByMcNemar(absl::Span<const Prediction> first,
                              absl::Span<const Prediction> second) {
  PairedResult result;
  for (size_t i = 0; i < first.size() && i < second.size(); ++i) {
    const bool one = first[i].correct(), other = second[i].correct();
    ++(one ? (other ? result.both : result.only_first)
           : (other ? result.only_second : result.neither));
  }
  result.p_value = McNemarPValue(result.only_first, result.only_second);
  return result;
}

}  // namespace finetune
