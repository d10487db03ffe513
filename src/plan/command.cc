#include "src/plan/command.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/nearest_name.h"
#include "src/base/output_file.h"
#include "src/config/total_batch_size.h"
#include "src/plan/host_memory.h"
#include "src/plan/measure.h"
#include "src/plan/plan.h"
#include "src/plan/training_data.h"

namespace finetune {
namespace {

absl::StatusOr<Cluster::Algorithm> ParseAlgorithm(const std::string& name) {
  if (name == "auto") return Cluster::Algorithm::kAuto;
  if (name == "ring") return Cluster::Algorithm::kRing;
  if (name == "hierarchical") return Cluster::Algorithm::kHierarchical;
  const std::string near = NearestName(name, {"auto", "ring", "hierarchical"});
  return absl::InvalidArgumentError(
      absl::StrCat("--algorithm=", name, ": expected auto, ring or hierarchical",
                   near.empty() ? "" : absl::StrCat("; did you mean ", near, "?")));
}

absl::StatusOr<Profile> FindProfile(const LoadedConfig& loaded, const PlanFlags& flags,
                                    const std::vector<int>& ranks, const TrainingData& data) {
  const ExperimentConfig& config = loaded.config;
  std::string text;
  if (!flags.profile.empty()) {
    absl::StatusOr<std::string> read = ReadRegularFile(flags.profile);
    FT_RETURN_IF_ERROR(Annotate(read.status(), "--profile"));
    text = *std::move(read);
    if (!absl::EndsWith(flags.profile, ".jsonl")) return ParseProfile(text, flags.profile);
  } else if (config.runtime().device() == RuntimeConfig::CUDA) {
    return absl::InvalidArgumentError(absl::StrCat(
        loaded.PlaceOf("runtime.device"),
        ": runtime.device: is CUDA, but a plan measures on the CPU; give the .jsonl of "
        "a run of one rank as --profile"));
  }
  MeasureOptions options;
  options.shape = data.shape;
  options.iterations = flags.measure > 0 ? flags.measure : 5;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.threads = config.runtime().threads() > 0 ? config.runtime().threads()
                                                   : std::max(1, cores / flags.ranks_per_host);
  if (!flags.profile.empty()) {
    // The run's records contain the times; the model gives the sizes of the parameters.
    FT_ASSIGN_OR_RETURN(Profile shape, MeasureStep(config, options));
    History history;
    FT_RETURN_IF_ERROR(Annotate(AddRecords(text, &history), flags.profile));
    const SplitConfig& train = config.data().train();
    return ProfileOfRun(history, TotalBatchSize(train, 1), train.micro_batch_size(),
                        std::move(shape), flags.profile);
  }
  // Only the smallest and the largest pass are measured. Passes between them are interpolated.
  const std::vector<int64_t> batches = PassBatches(config.data().train(), ranks);
  options.batches = {batches.front()};
  const int64_t largest = std::min(batches.back(), std::max(kMostMeasured, batches.front()));
  if (largest > batches.front()) options.batches.push_back(largest);
  return MeasureStep(config, options);
}

absl::StatusOr<Link> LinkOf(const char* flag, const std::string& text) {
  absl::StatusOr<Link> link = ParseLink(text);
  if (!link.ok()) return Annotate(link.status(), absl::StrCat(flag, "=", text));
  return link;
}

// Returns a warning for each row whose ranks do not fit into a host's memory, one a line. Ranks
// that train on GPUs are not compared, because their memory is measured on the CPU.
std::string WarnOfMemory(const LoadedConfig& loaded, const PlanFlags& flags,
                         const std::vector<PlanRow>& rows) {
  if (loaded.config.runtime().device() == RuntimeConfig::CUDA) return "";
  const std::optional<MemoryLimit> limit = SmallestLimit(flags.host_memory);
  if (!limit.has_value()) return "";
  std::string warnings;
  for (const PlanRow& row : rows) {
    const HostNeed need{RanksOnHost(row.ranks, flags.ranks_per_host), row.memory_bytes,
                        PassBatches(loaded.config.data().train(), {row.ranks}).back()};
    const std::string misfit = DescribeMisfit(need, *limit);
    if (misfit.empty()) continue;
    const int fit = RanksThatFit(need.rank_bytes, *limit);
    absl::StrAppend(&warnings, "warning: a run of ", row.ranks, ": ", misfit,
                    fit > 0 ? absl::StrCat(", enough for ", fit) : "",
                    flags.host_memory > 0 ? "" : "; --host_memory=SIZE says what its hosts have",
                    "\n");
  }
  return warnings;
}

std::string Describe(const Link& link) {
  return absl::StrFormat("%.4g Gbit/s, %.4g us", link.bytes_per_second * 8 / 1e9,
                         link.latency_s * 1e6);
}

}  // namespace

absl::StatusOr<std::string> RunPlan(const LoadedConfig& loaded, const PlanFlags& flags) {
  FT_ASSIGN_OR_RETURN(const std::vector<int> ranks, ParseRanks(flags.ranks));
  std::vector<Link> links;
  for (const std::string& text : flags.links) {
    FT_ASSIGN_OR_RETURN(Link link, LinkOf("--link", text));
    links.push_back(std::move(link));
  }
  if (links.empty()) {
    FT_ASSIGN_OR_RETURN(Link link, LinkOf("--link", "10Gbit"));
    links.push_back(std::move(link));
  }
  // Checked before minutes are spent on measuring.
  FT_RETURN_IF_ERROR(CheckOutputs({{"--save_profile", flags.save_profile}}, flags.force,
                                  {loaded.file, flags.profile}));
  Cluster cluster;
  FT_ASSIGN_OR_RETURN(cluster.within_host, LinkOf("--intra_link", flags.intra_link));
  FT_ASSIGN_OR_RETURN(cluster.algorithm, ParseAlgorithm(flags.algorithm));
  cluster.ranks_per_host = flags.ranks_per_host;
  if (flags.measure > 0 && !flags.profile.empty()) {
    return absl::InvalidArgumentError(
        "--measure and --profile: a plan is made from one of them; leave the other out");
  }
  FT_ASSIGN_OR_RETURN(const TrainingData data, FindTrainingData(loaded, flags.images));
  FT_ASSIGN_OR_RETURN(const Profile profile, FindProfile(loaded, flags, ranks, data));
  if (!flags.save_profile.empty()) {
    FT_RETURN_IF_ERROR(
        Annotate(WriteFileAtomically(flags.save_profile, ToJson(profile)), "--save_profile"));
  }
  cluster.sum_bytes_per_second = profile.sum_bytes_per_second;

  nlohmann::json plans = nlohmann::json::array();
  std::string warnings;
  std::string text = absl::StrFormat(
      "%s: %s scaling, from %s\n", loaded.file,
      loaded.config.data().train().has_total_batch_size() ? "strong" : "weak", profile.source);
  if (!data.note.empty()) {
    absl::StrAppend(&text, data.note, flags.images > 0 ? "" : ": hours need --images=N", "\n");
  }
  for (const Link& link : links) {
    cluster.between_hosts = link;
    const std::vector<PlanRow> rows = MakePlan(loaded.config, profile, cluster, ranks, data.images);
    absl::StrAppendFormat(&text, "\n%s between hosts (%s), %s within (%s), %d rank%s a host, %s\n",
                          link.name, Describe(link), cluster.within_host.name,
                          Describe(cluster.within_host), flags.ranks_per_host,
                          flags.ranks_per_host == 1 ? "" : "s", flags.algorithm);
    absl::StrAppend(&text, FormatPlan(rows));
    // The memory of a rank does not depend on the link.
    warnings = WarnOfMemory(loaded, flags, rows);
    plans.push_back({{"link", link.name},
                     {"bytes_per_second", link.bytes_per_second},
                     {"latency_s", link.latency_s},
                     {"rows", nlohmann::json::parse(PlanToJson(rows))}});
  }
  if (flags.json) {
    return nlohmann::json{{"config", loaded.file},
                          {"source", profile.source},
                          {"plans", plans},
                          {"memory_warnings", warnings}}
               .dump(1) +
           "\n";
  }
  if (!warnings.empty()) absl::StrAppend(&text, "\n", warnings);
  absl::StrAppend(&text,
                  "\nNot in it: jitter and stragglers, cores that communication takes from "
                  "computation, other traffic,\nwaiting for data, validation and checkpoints. "
                  "Times on many ranks are lower bounds.\n");
  return text;
}

}  // namespace finetune
