#ifndef FINETUNE_OPTIM_PLATEAU_H_
#define FINETUNE_OPTIM_PLATEAU_H_

#include <cstdint>
#include <optional>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"

namespace finetune {

// The state of a Plateau, which a checkpoint holds.
struct PlateauState {
  // The best value so far; unset before the first validation.
  std::optional<double> best;
  // The validations in a row that were not better than `best`, since the last reduction.
  int64_t without = 0;
  // The validations left that do not count in `without`, because a reduction came just before.
  int64_t cooldown = 0;
  // The reductions so far.
  int64_t reductions = 0;

  bool operator==(const PlateauState&) const = default;
};

// Lowers the learning rate when the validations do not improve any more, as PyTorch's
// ReduceLROnPlateau. The object does not change; the caller keeps its state.
class Plateau {
 public:
  // Checks the config. Errors go to `problems`, which must be those of schedule.plateau.
  static void Check(const PlateauLrConfig& config, const Problems& problems);

  explicit Plateau(const PlateauLrConfig& config);

  // Updates `state` with the value of config.metric in a validation.
  void Observe(double value, PlateauState* state) const;

  // Returns the learning rate after `reductions` reductions of `lr`. As in PyTorch, a reduction by
  // 1e-8 or less is not made.
  double RateAfter(int64_t reductions, double lr) const;

 private:
  bool IsBetter(double value, double best) const;

  PlateauLrConfig config_;
  bool higher_is_better_;
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_PLATEAU_H_
