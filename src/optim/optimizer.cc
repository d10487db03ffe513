#include "src/optim/optimizer.h"

#include <algorithm>

#include "src/config/field_error.h"
#include "src/optim/adamw.h"
#include "src/optim/lamb.h"
#include "src/optim/lars.h"
#include "src/optim/rmsprop.h"
#include "src/optim/sgd.h"
#include "src/optim/weight_average.h"

namespace finetune {
namespace {

constexpr char kNoKind[] = "has no kind; set sgd, adamw, lars, lamb or rmsprop { lr: ... }";

template <typename KindConfig>
BaseLearningRate Rate(const char* field, const KindConfig& config) {
  return {field, config.has_lr() ? std::optional<double>(config.lr()) : std::nullopt};
}

}  // namespace

// The three switches over the optimizer's kind have no default, so that the compiler reports a new
// kind that one of them does not handle.

void CheckOptimizer(const OptimizerConfig& config, const Problems& problems) {
  switch (config.kind_case()) {
    case OptimizerConfig::kSgd:
      Sgd::Check(config.sgd(), problems.Within("sgd"));
      break;
    case OptimizerConfig::kAdamw:
      AdamW::Check(config.adamw(), problems.Within("adamw"));
      break;
    case OptimizerConfig::kLars:
      Lars::Check(config.lars(), problems.Within("lars"));
      break;
    case OptimizerConfig::kLamb:
      Lamb::Check(config.lamb(), problems.Within("lamb"));
      break;
    case OptimizerConfig::kRmsprop:
      RmsProp::Check(config.rmsprop(), problems.Within("rmsprop"));
      break;
    case OptimizerConfig::KIND_NOT_SET:
      problems.Error("", kNoKind);
      break;
  }
  CheckParameterRules(config, problems);
  if (config.has_clip_gradient()) {
    if (config.clip_gradient().has_max_norm()) {
      problems.Positive("clip_gradient.max_norm", config.clip_gradient().max_norm());
    } else {
      problems.Error("clip_gradient.max_norm", "is not set");
    }
  }
  if (config.has_ema()) WeightAverage::Check(config.ema(), problems.Within("ema"));
  if (config.has_swa()) WeightAverage::CheckSwa(config.swa(), problems.Within("swa"));
}

absl::StatusOr<std::unique_ptr<Optimizer>> CreateOptimizer(const OptimizerConfig& config,
                                                           std::vector<ParameterSpan> spans,
                                                           const at::Tensor& values,
                                                           const TraitsByName& traits) {
  std::sort(spans.begin(), spans.end(),
            [](const ParameterSpan& a, const ParameterSpan& b) { return a.offset < b.offset; });
  FT_ASSIGN_OR_RETURN(std::vector<ParameterGroup> groups, GroupParameters(config, spans, traits));
  std::vector<ParameterTraits> own_traits;
  for (const ParameterSpan& span : spans) {
    const auto found = traits.find(span.name);
    own_traits.push_back(found == traits.end() ? ParameterTraits() : found->second);
  }
  FlatParameters parameters = {values, std::move(spans), std::move(groups), std::move(own_traits)};
  switch (config.kind_case()) {
    case OptimizerConfig::kSgd:
      return std::make_unique<Sgd>(config.sgd(), std::move(parameters));
    case OptimizerConfig::kAdamw:
      return std::make_unique<AdamW>(config.adamw(), std::move(parameters));
    case OptimizerConfig::kLars:
      return std::make_unique<Lars>(config.lars(), std::move(parameters));
    case OptimizerConfig::kLamb:
      return std::make_unique<Lamb>(config.lamb(), std::move(parameters));
    case OptimizerConfig::kRmsprop:
      return std::make_unique<RmsProp>(config.rmsprop(), std::move(parameters));
    case OptimizerConfig::KIND_NOT_SET:
      break;
  }
  return FieldError("optimizer", kNoKind);
}

BaseLearningRate FindLearningRate(const OptimizerConfig& config) {
  switch (config.kind_case()) {
    case OptimizerConfig::kSgd:
      return Rate("optimizer.sgd.lr", config.sgd());
    case OptimizerConfig::kAdamw:
      return Rate("optimizer.adamw.lr", config.adamw());
    case OptimizerConfig::kLars:
      return Rate("optimizer.lars.lr", config.lars());
    case OptimizerConfig::kLamb:
      return Rate("optimizer.lamb.lr", config.lamb());
    case OptimizerConfig::kRmsprop:
      return Rate("optimizer.rmsprop.lr", config.rmsprop());
    case OptimizerConfig::KIND_NOT_SET:
      break;
  }
  return {"optimizer", std::nullopt};
}

}  // namespace finetune
