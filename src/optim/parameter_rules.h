#ifndef FINETUNE_OPTIM_PARAMETER_RULES_H_
#define FINETUNE_OPTIM_PARAMETER_RULES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/tensor/parameter_span.h"

namespace finetune {

// The elements [begin, end) of the contiguous parameters: adjacent parameters with the same
// learning rate and weight decay multipliers.
struct ParameterGroup {
  int64_t begin;
  int64_t end;
  double lr_multiplier;
  double weight_decay_multiplier;
};

// The properties of a parameter that its multipliers depend on, apart from its name.
struct ParameterTraits {
  // The number of parts of the network after the parameter's part; see Classifier::PartsBehind().
  int parts_behind = 0;
  // Whether the parameter is not the weight of a layer, but a bias, the scale or shift of a norm,
  // or the like; see Classifier::IsLayersWeight().
  bool is_norm_or_bias = false;
};
// The traits of each parameter, by its name.
using TraitsByName = std::map<std::string, ParameterTraits>;

// Checks optimizer.rule, layer_decay and decay_norm_and_bias. Errors go to `problems`, which must
// be those of the message optimizer.
void CheckParameterRules(const OptimizerConfig& config, const Problems& problems);

// Returns the parameters in groups with equal multipliers. The first rule of `config` that matches
// a parameter's name applies to the parameter. layer_decay and decay_norm_and_bias apply by
// `traits`; a parameter that is not in `traits` has ParameterTraits' defaults. Adjacent parameters
// with the same multipliers become one group, so that a step has few groups. `config` has passed
// CheckParameterRules(). `spans`: sorted by offset. Errors: FieldError() for a rule that applies to
// no parameter, because its expression is likely misspelt.
absl::StatusOr<std::vector<ParameterGroup>> GroupParameters(const OptimizerConfig& config,
                                                            absl::Span<const ParameterSpan> spans,
                                                            const TraitsByName& traits = {});

}  // namespace finetune

#endif  // FINETUNE_OPTIM_PARAMETER_RULES_H_
