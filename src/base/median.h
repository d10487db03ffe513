#ifndef FINETUNE_BASE_MEDIAN_H_
#define FINETUNE_BASE_MEDIAN_H_

#include <algorithm>
#include <iterator>
#include <vector>

namespace finetune {

// The middle of the values, the larger of two; 0 where there are none.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace finetune

#endif  // FINETUNE_BASE_MEDIAN_H_
