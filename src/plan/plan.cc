#include "src/plan/plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/ceil_divide.h"
#include "src/comm/bucket_layout.h"
#include "src/config/total_batch_size.h"
#include "src/data/micro_batches.h"
#include "src/data/sampler.h"
#include "src/plan/simulate.h"

namespace finetune {
namespace {

// Returns the number of images in an iteration on the rank that has the most.
int64_t RankBatch(const SplitConfig& train, int ranks) {
  return CeilDivide(TotalBatchSize(train, ranks), ranks);
}

MicroBatches PassesOf(const SplitConfig& train, int64_t batch) {
  return MicroBatches::Of(batch, train.micro_batch_size());
}

struct Iteration {
  double step_s = 0, compute_s = 0, comm_s = 0, exposed_s = 0, memory_bytes = 0;
};

Iteration Predict(const ExperimentConfig& config, const Profile& profile, const Cluster& cluster,
                  int ranks, int64_t batch) {
  const MicroBatches parts = PassesOf(config.data().train(), batch);
  // Passes have at most two sizes: the first pass has the smaller one, the last pass the larger
  // one.
  const PassTimes first = PassAt(profile, parts.Size(0));
  const PassTimes last = PassAt(profile, parts.Size(parts.passes() - 1));
  // Gradients are all-reduced during the last pass only. `backward_at` is the time at which its
  // backward starts.
  double backward_at = last.forward_s;
  for (int64_t pass = 0; pass + 1 < parts.passes(); ++pass) {
    const PassTimes& times = parts.Size(pass) == first.batch ? first : last;
    backward_at += times.forward_s + times.backward_s;
  }
  const double compute_s = backward_at + last.backward_s;

  const double element = config.comm().compression() == CommConfig::NONE ? 4 : 2;
  const BucketLayout layout = LayOutBuckets(profile.parameters, config.comm());
  std::vector<Transfer> transfers(layout.ends.size());
  for (size_t i = 0; i < profile.parameters.size(); ++i) {
    double& ready = transfers[layout.buckets[i]].ready_s;
    ready = std::max(ready, backward_at + last.ready_s[i]);
  }
  int64_t begin = 0;
  for (size_t b = 0; b < transfers.size(); ++b) {
    transfers[b].bytes = element * static_cast<double>(layout.ends[b] - begin);
    begin = layout.ends[b];
  }
  // The running statistics are complete after the last forward pass, so their all-reduce comes
  // first.
  if (profile.statistics > 0) {
    transfers.insert(transfers.begin(),
                     Transfer{backward_at, 4 * static_cast<double>(profile.statistics)});
  }

  const StepTimeline timeline = Simulate(
      compute_s, transfers, [&](double bytes) { return AllReduceSeconds(bytes, ranks, cluster); });
  // Each iteration ends with an all-reduce of the loss and the stop flags, which consists of two
  // gathers: of the lengths, then of the values.
  const double closing = 2 * GatherSeconds(ranks, cluster);
  Iteration iteration;
  iteration.compute_s = compute_s + profile.optimizer_s;
  iteration.comm_s = timeline.comm_s + closing;
  iteration.exposed_s = timeline.exposed_s + closing;
  iteration.step_s = iteration.compute_s + iteration.exposed_s;
  iteration.memory_bytes = std::max(first.memory_bytes, last.memory_bytes);
  return iteration;
}

// Returns the number of iterations of the config's schedule; nothing where that depends on the
// number of images and the number is unknown.
std::optional<double> Iterations(const ExperimentConfig& config, int64_t total_batch,
                                 int64_t images) {
  const ScheduleConfig& schedule = config.schedule();
  if (schedule.has_max_iterations()) return static_cast<double>(schedule.max_iterations());
  if (images <= 0) return std::nullopt;
  const Sampler sampler{
      .images = images, .total_batch = total_batch, .drop_last = config.data().train().drop_last()};
  return static_cast<double>(sampler.iterations_per_epoch() * schedule.max_epochs());
}

}  // namespace

std::vector<int64_t> PassBatches(const SplitConfig& train, absl::Span<const int> ranks) {
  std::set<int64_t> batches;
  for (const int p : ranks) {
    const MicroBatches parts = PassesOf(train, RankBatch(train, p));
    batches.insert(parts.Size(0));
    batches.insert(parts.Size(parts.passes() - 1));
  }
  return {batches.begin(), batches.end()};
}

std::vector<PlanRow> MakePlan(const ExperimentConfig& config, const Profile& profile,
                              const Cluster& cluster, absl::Span<const int> ranks, int64_t images) {
  const SplitConfig& train = config.data().train();
  const auto row_for = [&](int p) {
    PlanRow row;
    row.ranks = p;
    row.hosts = static_cast<int>(CeilDivide(p, cluster.ranks_per_host));
    row.total_batch = TotalBatchSize(train, p);
    row.rank_batch = RankBatch(train, p);
    const Iteration iteration = Predict(config, profile, cluster, p, row.rank_batch);
    row.step_s = iteration.step_s;
    row.compute_s = iteration.compute_s;
    row.comm_s = iteration.comm_s;
    row.exposed_s = iteration.exposed_s;
    row.memory_bytes = iteration.memory_bytes;
    row.images_per_second = static_cast<double>(row.total_batch) / row.step_s;
    if (const auto iterations = Iterations(config, row.total_batch, images)) {
      row.hours = *iterations * row.step_s / 3600;
    }
    return row;
  };
  const double alone = row_for(1).images_per_second;
  std::vector<PlanRow> rows;
  for (const int p : ranks) {
    rows.push_back(row_for(p));
    rows.back().efficiency = rows.back().images_per_second / (p * alone);
  }
  return rows;
}

std::string FormatPlan(absl::Span<const PlanRow> rows) {
  std::string table = absl::StrFormat("%8s %7s %9s %11s %10s %10s %10s %12s %11s %10s %9s\n",
                                      "ranks", "hosts", "images", "a rank", "step s", "compute s",
                                      "exposed s", "images/s", "efficiency", "MiB a rank", "hours");
  for (const PlanRow& row : rows) {
    absl::StrAppendFormat(
        &table, "%8d %7d %9d %11d %10.4f %10.4f %10.4f %12.1f %9.1f %% %10.0f %9s\n", row.ranks,
        row.hosts, row.total_batch, row.rank_batch, row.step_s, row.compute_s, row.exposed_s,
        row.images_per_second, 100 * row.efficiency, row.memory_bytes / (1 << 20),
        row.hours.has_value() ? absl::StrFormat("%.2f", *row.hours) : "-");
  }
  return table;
}

std::string PlanToJson(absl::Span<const PlanRow> rows) {
  nlohmann::json list = nlohmann::json::array();
  for (const PlanRow& row : rows) {
    list.push_back({{"ranks", row.ranks},
                    {"hosts", row.hosts},
                    {"rank_batch", row.rank_batch},
                    {"total_batch", row.total_batch},
                    {"step_s", row.step_s},
                    {"compute_s", row.compute_s},
                    {"comm_s", row.comm_s},
                    {"exposed_s", row.exposed_s},
                    {"pictures_per_second", row.images_per_second},
                    {"efficiency", row.efficiency},
                    {"memory_bytes", row.memory_bytes}});
    if (row.hours.has_value()) list.back()["hours"] = *row.hours;
  }
  return list.dump(1);
}

}  // namespace finetune
