#ifndef FINETUNE_OPTIM_EARLY_STOPPING_H_
#define FINETUNE_OPTIM_EARLY_STOPPING_H_

#include <cstdint>
#include <optional>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"

namespace finetune {

// The state of an EarlyStopping, which a checkpoint holds.
struct EarlyStoppingState {
  // The best value so far and the iteration of its validation; unset before the first validation.
  std::optional<double> best;
  int64_t best_iteration = 0;
  // The validations in a row since then that were not better.
  int64_t without = 0;

  bool operator==(const EarlyStoppingState&) const = default;
};

// Decides when a run ends because its validations do not improve any more (Prechelt 1998, "Early
// Stopping - But When?"). The object does not change; the caller keeps its state.
class EarlyStopping {
 public:
  // Checks the config. Errors go to `problems`, which must be those of schedule.early_stopping.
  static void Check(const EarlyStoppingConfig& config, const Problems& problems);

  EarlyStopping(const EarlyStoppingConfig& config, bool higher_is_better)
      : config_(config), higher_is_better_(higher_is_better) {}

  // Updates `state` with the metric's value in the validation after `iteration`.
  void Observe(double value, int64_t iteration, EarlyStoppingState* state) const;

  // Returns whether the run ends. It depends on the config's patience, so a resumed run with more
  // patience goes on.
  bool IsOver(const EarlyStoppingState& state) const { return state.without >= config_.patience(); }

 private:
  EarlyStoppingConfig config_;
  bool higher_is_better_;
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_EARLY_STOPPING_H_
