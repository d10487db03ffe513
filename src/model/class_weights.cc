#include "src/model/class_weights.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"

namespace finetune {

void CheckClassWeights(const ClassWeightsConfig& config, int classes, const Problems& problems) {
  if (config.has_rule()) {
    if (config.weight_size() > 0) {
      problems.Error("", "has a rule as well as weight; expected one of both");
    }
    return;
  }
  if (config.weight_size() != classes) {
    problems.Error("weight", absl::StrCat("has ", config.weight_size(), " values; expected ",
                                          classes, ", one for each of num_classes"));
    return;
  }
  for (int i = 0; i < config.weight_size(); ++i) {
    problems.AtLeast(absl::StrCat("weight[", i, "]"), config.weight(i), 0);
  }
  if (std::all_of(config.weight().begin(), config.weight().end(),
                  [](float weight) { return weight == 0; })) {
    problems.Error("weight", "is 0 for every class, so nothing would be learned");
  }
}

std::vector<float> ClassWeights(const HeadConfig& config, absl::Span<const int64_t> images) {
  if (!config.has_class_weights()) return {};
  const ClassWeightsConfig& weights = config.class_weights();
  if (!weights.has_rule()) return {weights.weight().begin(), weights.weight().end()};
  const auto all = static_cast<double>(std::accumulate(images.begin(), images.end(), int64_t{0}));
  const auto classes = static_cast<double>(
      std::count_if(images.begin(), images.end(), [](int64_t count) { return count > 0; }));
  std::vector<float> balanced;
  for (const int64_t count : images) {
    balanced.push_back(
        count == 0 ? 0 : static_cast<float>(all / (classes * static_cast<double>(count))));
  }
  return balanced;
}

}  // namespace finetune
