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

// The elements [begin, end) of the contiguous parameters: adjacent parameters with the same
// learning rate and weight decay multipliers.
struct ParameterGroup {
  int64_t begin;
  int64_t end;
  double lr_multiplier;
  double weight_decay_multiplier;
};

// Checks optimizer.rule. Errors go to `problems`, which must be those of the message optimizer.
void CheckParameterRules(const OptimizerConfig& config, const Problems& problems);

// Applies the rules of `config` by parameter name: the first rule that matches a name applies to
// the parameter. Adjacent parameters with the same multipliers become one group, so that a step has
// few groups. `config` has passed CheckParameterRules(). `spans`: sorted by offset. Errors:
// FieldError() for a rule that applies to no parameter, because its expression is likely misspelt.
absl::StatusOr<std::vector<ParameterGroup>> GroupParameters(const OptimizerConfig& config,
                                                            absl::Span<const ParameterSpan> spans);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_PARAMETER_RULES_H_
