#ifndef FINETUNE_PLAN_PLAN_H_
#define FINETUNE_PLAN_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/config/experiment.pb.h"
#include "src/plan/cost_model.h"
#include "src/plan/profile.h"

namespace finetune {

// The prediction for one number of ranks.
struct PlanRow {
  int ranks = 1;
  int hosts = 1;
  // The images of an iteration: of the rank that has the most, and of all ranks.
  int64_t rank_batch = 0;
  int64_t total_batch = 0;
  // The time of an iteration; the computation in it, and the time that communication adds. comm_s
  // is the whole communication, hidden or not.
  double step_s = 0;
  double compute_s = 0;
  double comm_s = 0;
  double exposed_s = 0;
  double pictures_per_second = 0;
  // The images a second of one of the ranks, relative to one rank alone.
  double efficiency = 1;
  double memory_bytes = 0;
  // The config's whole schedule, without validation; unset where the number of images is unknown.
  std::optional<double> hours;
};

// Returns the sizes of the passes that rows for `ranks` need, in ascending order. A profile should
// have them.
std::vector<int64_t> PassBatches(const SplitConfig& train, absl::Span<const int> ranks);

// Returns a row for each of `ranks`. `pictures`: the images of the training split; 0: unknown.
std::vector<PlanRow> MakePlan(const ExperimentConfig& config, const Profile& profile,
                              const Cluster& cluster, absl::Span<const int> ranks,
                              int64_t pictures);

// An aligned table with a heading, and a JSON list of objects in seconds and bytes.
std::string FormatPlan(absl::Span<const PlanRow> rows);
std::string PlanToJson(absl::Span<const PlanRow> rows);

}  // namespace finetune

#endif  // FINETUNE_PLAN_PLAN_H_
