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
  // The number of images in an iteration: on the rank that has the most, and on all ranks together.
  int64_t rank_batch = 0;
  int64_t total_batch = 0;
  // Times in seconds. step_s: an iteration. compute_s: the computation in it. comm_s: all
  // communication, whether it runs during the computation or not. exposed_s: the time that
  // communication adds to the computation.
  double step_s = 0;
  double compute_s = 0;
  double comm_s = 0;
  double exposed_s = 0;
  double images_per_second = 0;
  // The images per second of one of these ranks divided by those of a run with a single rank.
  double efficiency = 1;
  double memory_bytes = 0;
  // The duration of the config's whole schedule in hours, without validation. Unset where the
  // number of images is unknown.
  std::optional<double> hours;
};

// Returns the sizes of the passes, in images, that MakePlan() needs for rows with these numbers of
// ranks, in ascending order. A profile should contain passes of these sizes.
std::vector<int64_t> PassBatches(const SplitConfig& train, absl::Span<const int> ranks);

// Returns one row for each number in `ranks`. `images`: the number of images in the training
// split; 0: unknown.
std::vector<PlanRow> MakePlan(const ExperimentConfig& config, const Profile& profile,
                              const Cluster& cluster, absl::Span<const int> ranks, int64_t images);

// Return the rows as an aligned table with a heading, and as a JSON list of objects with times in
// seconds and sizes in bytes.
std::string FormatPlan(absl::Span<const PlanRow> rows);
std::string PlanToJson(absl::Span<const PlanRow> rows);

}  // namespace finetune

#endif  // FINETUNE_PLAN_PLAN_H_
