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

// What a run on so many ranks will be like.
struct PlanRow {
  int ranks = 1;
  int hosts = 1;
  // Pictures an iteration, of the rank with the most and of all.
  int64_t rank_batch = 0;
  int64_t total_batch = 0;
  // An iteration; of it the computation, and what communication adds. comm_s is all of the
  // communication, hidden or not.
  double step_s = 0;
  double compute_s = 0;
  double comm_s = 0;
  double exposed_s = 0;
  double pictures_per_second = 0;
  // Pictures a second and rank, of what one rank alone does.
  double efficiency = 1;
  double memory_bytes = 0;
  // The config's whole schedule, without validation; absent where the number of pictures is not
  // known.
  std::optional<double> hours;
};

// The batches of passes that rows for `ranks` are made of, ascending: those a profile should hold.
std::vector<int64_t> PassBatches(const SplitConfig& train, absl::Span<const int> ranks);

// A row for each of `ranks`. `pictures`: of the training split, 0 where unknown.
std::vector<PlanRow> MakePlan(const ExperimentConfig& config, const Profile& profile,
                              const Cluster& cluster, absl::Span<const int> ranks,
                              int64_t pictures);

// An aligned table with a heading; a list of objects of JSON, in seconds and bytes.
std::string FormatPlan(absl::Span<const PlanRow> rows);
std::string PlanToJson(absl::Span<const PlanRow> rows);

}  // namespace finetune

#endif  // FINETUNE_PLAN_PLAN_H_
