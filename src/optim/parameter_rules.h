#ifndef FINETUNE_OPTIM_PARAMETER_RULES_H_
#define FINETUNE_OPTIM_PARAMETER_RULES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/tensor/parameter_span.h"

namespace finetune {

// The elements [begin, end) of the flat parameters: neighbours that an optimizer treats alike.
struct ParameterGroup {
  int64_t begin;
  int64_t end;
  double lr_multiplier;
  double weight_decay_multiplier;
};

// Checks optimizer.rule. `problems`: those of the optimizer.
void CheckParameterRules(const OptimizerConfig& config, const Problems& problems);

// Applies the rules by parameter name: the first one that matches a name holds for the parameter.
// Neighbouring parameters with the same multipliers become one group, so that a step has few of
// them. `config` has passed CheckParameterRules(). `spans`: sorted by offset. Errors: FieldError()
// for a rule that holds for no parameter, which is a misspelt one.
absl::StatusOr<std::vector<ParameterGroup>> GroupParameters(const OptimizerConfig& config,
                                                            absl::Span<const ParameterSpan> spans);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_PARAMETER_RULES_H_
