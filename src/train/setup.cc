#include "src/train/setup.h"

#include <ATen/Parallel.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/annotate.h"
#include "src/base/sha256.h"
#include "src/checkpoint/fetch.h"
#include "src/checkpoint/reader.h"
#include "src/comm/agreement.h"
#include "src/comm/build_id.h"
#include "src/config/validate.h"
#include "src/data/manifest.h"
#include "src/model/load.h"
#include "src/train/threads.h"

namespace finetune {
namespace {

struct SplitFacts {
  std::optional<DataFacts> facts;
  std::string digest;
};

absl::StatusOr<SplitFacts> ReadFacts(const SplitConfig& split) {
  SplitFacts result;
  if (split.path().empty()) return result;
  FT_ASSIGN_OR_RETURN(DatasetManifest manifest, ReadManifest(split.path()));
  FT_ASSIGN_OR_RETURN(DatasetSplit found, FindSplit(manifest, split.split()));
  result.facts = DataFacts{manifest.class_name_size(), PictureCount(found), manifest.channels(),
                           manifest.height(), manifest.width()};
  Sha256 sum;
  sum.Update(PrintManifest(manifest));
  result.digest = sum.HexDigest().substr(0, 16);
  return result;
}

// Names the values of the config that differ between ranks. Collective.
absl::Status CompareConfigs(const ExperimentConfig& config, Communicator* comm) {
  FT_ASSIGN_OR_RETURN(
      const std::vector<std::string> texts,
      comm->AllGather(absl::StrJoin(ConfigValues(config), "\n", absl::PairFormatter(" "))));
  std::vector<std::map<std::string, std::string>> values;
  std::map<std::string, std::string> unset;  // by the path of each value that some rank has
  for (const std::string& text : texts) {
    std::map<std::string, std::string>& theirs = values.emplace_back();
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::pair<std::string, std::string> value =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      theirs.insert(value);
      unset[value.first] = "unset";
    }
  }
  std::vector<std::vector<AgreementItem>> items(values.size());
  for (size_t r = 0; r < values.size(); ++r) {
    values[r].insert(unset.begin(), unset.end());
    for (const auto& [path, value] : values[r]) items[r].push_back({path, value});
  }
  return CompareItems(items, comm->world().hosts);
}

// What must not differ between ranks, or they would train different models without a word.
absl::Status CheckSameRun(const LoadedConfig& loaded, const std::string& data, Communicator* comm) {
  // Another program may not go on as this one does.
  FT_RETURN_IF_ERROR(CheckAgreement({{"the program's build id", BuildId()}}, *comm));
  const absl::Status same =
      CheckAgreement({{"the config's hash", absl::StrFormat("%016x", ConfigHash(loaded.config))},
                      {"the data's manifest", data}},
                     *comm);
  if (same.ok()) return same;
  const absl::Status values = CompareConfigs(loaded.config, comm);
  return values.ok() ? same : values;
}

absl::Status LoadPretrained(const PretrainedConfig& pretrained, Communicator* comm, Setup* setup) {
  // One rank a host downloads; the others find it in the cache.
  absl::StatusOr<std::string> path = std::string();
  if (comm->local_rank() == 0) path = FetchToCache(pretrained.checkpoint());
  FT_RETURN_IF_ERROR(Agree(path.status(), *comm));
  if (comm->local_rank() != 0) path = FetchToCache(pretrained.checkpoint());
  absl::Status status = path.status();
  if (status.ok()) {
    absl::StatusOr<TensorList> tensors = ReadStateDict(*path);
    status = tensors.status();
    if (status.ok()) {
      absl::StatusOr<LoadReport> report =
          LoadBackbone(*tensors, pretrained.prefix(), setup->model.get());
      status = Annotate(report.status(), *path);
      if (status.ok()) {
        setup->notes.push_back(absl::StrCat("backbone from ", *path, ": ", report->Summary()));
      }
    }
  }
  return Agree(Annotate(status, "model.backbone.pretrained"), *comm);
}

}  // namespace

absl::StatusOr<Setup> Prepare(const LoadedConfig& loaded, bool for_training, Communicator* comm) {
  Setup setup;
  const ExperimentConfig& config = loaded.config;

  absl::StatusOr<SplitFacts> train = ReadFacts(config.data().train());
  absl::StatusOr<SplitFacts> val = ReadFacts(config.data().val());
  RunFacts facts;
  facts.world_size = comm->size();
  // The config's own errors come first: a missing data set is often one of them.
  if (train.ok()) facts.train = train->facts;
  if (val.ok()) facts.val = val->facts;
  absl::StatusOr<std::vector<std::string>> warnings = ValidateConfig(loaded, facts);
  FT_RETURN_IF_ERROR(Agree(warnings.status(), *comm));
  if (for_training) {
    FT_RETURN_IF_ERROR(
        Agree(Annotate(train.status(), loaded.PlaceOf("data.train.path") + ": data.train"), *comm));
  }
  if (config.data().has_val()) {
    FT_RETURN_IF_ERROR(
        Agree(Annotate(val.status(), loaded.PlaceOf("data.val.path") + ": data.val"), *comm));
  }
  setup.warnings = *std::move(warnings);
  FT_RETURN_IF_ERROR(CheckSameRun(
      loaded, absl::StrCat(train.ok() ? train->digest : "", val.ok() ? val->digest : ""), comm));

  const RuntimeConfig& runtime = config.runtime();
  FT_ASSIGN_OR_RETURN(setup.threads, ThreadsForRank(runtime.threads(), comm));
  at::set_num_threads(setup.threads);
  if (runtime.device() == RuntimeConfig::CUDA) {
    return absl::InvalidArgumentError(absl::StrCat(loaded.PlaceOf("runtime.device"),
                                                   ": runtime.device: is CUDA; this program was "
                                                   "built without it (bazel build --config=cuda)"));
  }
  setup.notes.push_back(absl::StrFormat(
      "%d rank%s of %d thread%s on the CPU%s", comm->size(), comm->size() == 1 ? "" : "s",
      setup.threads, setup.threads == 1 ? "" : "s",
      runtime.device() == RuntimeConfig::AUTO ? " (runtime.device is AUTO and there is no GPU)"
                                              : ""));

  LoaderOptions options;
  options.rank = comm->rank();
  options.world_size = comm->size();
  options.seed = runtime.seed();
  options.bfloat16 = runtime.precision() == RuntimeConfig::BFLOAT16;
  absl::Status status;
  if (for_training) {
    absl::StatusOr<std::unique_ptr<BatchLoader>> loader =
        BatchLoader::Create(config.data().train(), options);
    status = Annotate(loader.status(), "data.train");
    if (loader.ok()) setup.train = *std::move(loader);
  }
  if (status.ok() && config.data().has_val()) {
    options.training = false;
    absl::StatusOr<std::unique_ptr<BatchLoader>> loader =
        BatchLoader::Create(config.data().val(), options);
    status = Annotate(loader.status(), "data.val");
    if (loader.ok()) setup.val = *std::move(loader);
  }
  FT_RETURN_IF_ERROR(Agree(status, *comm));

  ClassifierOptions model_options;
  model_options.seed = runtime.seed();
  model_options.device = setup.device;
  model_options.mode.bfloat16 = options.bfloat16;
  model_options.mode.fused = runtime.engine() == RuntimeConfig::FUSED;
  FT_ASSIGN_OR_RETURN(setup.model, Classifier::Create(config.model(), model_options));
  if (for_training && config.model().backbone().has_pretrained()) {
    FT_RETURN_IF_ERROR(LoadPretrained(config.model().backbone().pretrained(), comm, &setup));
  }
  return setup;
}

}  // namespace finetune
