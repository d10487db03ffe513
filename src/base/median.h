#ifndef FINETUNE_BASE_MEDIAN_H_
#define FINETUNE_BASE_MEDIAN_H_

#include <algorithm>
#include <iterator>
#include <vector>

namespace finetune {

// Returns the median of `values`. Of an even number of values it returns the larger of the two in
// the middle. Returns 0 for no values.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace finetune

#endif  // FINETUNE_BASE_MEDIAN_H_
