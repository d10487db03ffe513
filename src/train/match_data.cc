#include "src/train/match_data.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"
#include "src/config/problems.h"
#include "src/data/classes.h"
#include "src/data/manifest.h"
#include "src/data/pipeline.h"

namespace finetune {
namespace {

// Opens the split's data set. Returns null where the config does not set the split's path.
absl::StatusOr<std::unique_ptr<Dataset>> OpenSplit(const SplitConfig& split) {
  if (split.path().empty()) return nullptr;
  return Dataset::Open(split.path(), split.split());
}

// Returns the class names in a form that a checkpoint can hold.
ClassNames ClassesOf(const Dataset& data) {
  ClassNames names;
  for (const std::string& name : data.manifest().class_name()) names.push_back(ValidUtf8(name));
  return names;
}

// Returns whether the pipeline ends in a normalize {} that sets neither mean and std nor a preset.
bool TakesStatistics(const SplitConfig& split) {
  if (split.pipeline().empty()) return false;
  const TransformConfig& last = *split.pipeline().rbegin();
  return last.has_normalize() && !HasOwnStatistics(last.normalize());
}

// Returns the largest difference between the values to which the two normalizations map the same
// byte. Both have the same number of channels.
double GreatestDifference(const PixelStatistics& one, const PixelStatistics& other) {
  double greatest = 0;
  for (size_t c = 0; c < one.mean.size(); ++c) {
    // The difference is linear in the byte, so it is largest at 0 or 255.
    for (const double byte : {0.0, 255.0}) {
      const double difference =
          (byte - one.mean[c]) / one.std[c] - (byte - other.mean[c]) / other.std[c];
      greatest = std::max(greatest, std::abs(difference));
    }
  }
  return greatest;
}

}  // namespace

OpenedData OpenData(const DataConfig& config, const EvaluatedCheckpoint* evaluated,
                    std::vector<std::string>* notes) {
  OpenedData data;
  data.val = OpenSplit(config.val());
  if (evaluated == nullptr) {
    data.train = OpenSplit(config.train());
    if (data.train.ok() && *data.train != nullptr) {
      data.identity.classes = ClassesOf(**data.train);
      data.identity.train = IdentityOf(**data.train);
      data.classes_from = absl::StrCat("the data in ", config.train().path());
    }
    if (data.val.ok() && *data.val != nullptr) data.identity.val = IdentityOf(**data.val);
    return data;
  }
  data.identity = evaluated->data;
  data.classes_from = evaluated->path;
  if (data.identity.classes.empty() && data.val.ok() && *data.val != nullptr) {
    data.identity.classes = ClassesOf(**data.val);
    data.classes_from = absl::StrCat("the data in ", config.val().path());
    notes->push_back(absl::StrCat(
        evaluated->path,
        " does not name its classes: label i of data.val is taken for output i, in the order ",
        QuoteNames(data.identity.classes)));
  }
  return data;
}

absl::Status MapLabels(OpenedData* data, const std::string& path, bool for_training,
                       std::vector<std::string>* notes) {
  if (!data->val.ok() || *data->val == nullptr || data->identity.classes.empty()) {
    return absl::OkStatus();
  }
  Dataset& val = **data->val;
  const ClassNames own = ClassesOf(val);
  const ClassNames& expected = data->identity.classes;
  const std::string& from = data->classes_from;
  absl::StatusOr<std::vector<int64_t>> map = MapClasses(own, expected);
  if (!map.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " does not have the classes of ", from, ": ", map.status().message(),
                     ". Prepare it with the same class names",
                     for_training ? "" : ", or evaluate a checkpoint of these classes"));
  }
  if (!IsIdentity(*map)) {
    notes->push_back(absl::StrCat("data.val: ", path, " numbers its classes otherwise than ", from,
                                  "; its labels are mapped by name"));
  }
  const ClassNames missing = NamesWithout(expected, own);
  if (!missing.empty()) {
    notes->push_back(absl::StrCat("data.val: ", path, " has ", own.size(), " of the ",
                                  expected.size(), " classes of ", from, "; it lacks ",
                                  QuoteNames(missing)));
  }
  val.MapLabels(*std::move(map));
  return absl::OkStatus();
}

std::optional<PixelStatistics> StatisticsFor(const EvaluatedCheckpoint& evaluated,
                                             const DataConfig& data,
                                             std::vector<std::string>* notes) {
  if (evaluated.data.statistics.has_value()) return evaluated.data.statistics;
  const SplitConfig& train = data.train();
  if (!TakesStatistics(data.val())) return std::nullopt;
  if (train.path().empty()) return std::nullopt;
  const absl::StatusOr<DatasetManifest> manifest = ReadManifest(train.path());
  if (!manifest.ok()) return std::nullopt;
  const absl::StatusOr<Pipeline> pipeline = Pipeline::Create(train, *manifest);
  if (!pipeline.ok()) return std::nullopt;
  notes->push_back(absl::StrCat(
      evaluated.path, " does not say by which mean and std its images were normalised: those of ",
      "data.train in ", train.path(), " are taken"));
  return pipeline->statistics();
}

StatisticsReport CompareStatistics(const SplitConfig& val_config,
                                   const std::optional<PixelStatistics>& trained,
                                   const std::string& from, const BatchLoader& val) {
  const PixelStatistics& used = val.pipeline().statistics();
  const bool takes = TakesStatistics(val_config);
  StatisticsReport report;
  if (!trained.has_value()) {
    if (!takes) return report;
    report.warning = absl::StrCat(
        from, " does not say by which mean and std its images were normalised; normalize {} takes ",
        "the evaluated data's own, ", Describe(used),
        ". If it was trained with others, give them as normalize { mean: ... std: ... }");
    return report;
  }
  if (used.mean != trained->mean || used.std != trained->std) {
    report.warning = absl::StrCat("the model sees images normalised by ", Describe(used), "; ",
                                  from, " normalises by ", Describe(*trained));
    return report;
  }
  if (!takes) return report;
  const absl::StatusOr<Pipeline> alone = Pipeline::Create(val_config, val.manifest());
  if (!alone.ok()) return report;
  const PixelStatistics& own = alone->statistics();
  if (own.mean != used.mean || own.std != used.std) {
    report.note = absl::StrCat("data.val: normalize {} takes ", Describe(used), " from ", from,
                               "; the images' own are ", Describe(own));
  }
  return report;
}

StatisticsReport ComparePretrained(const PixelStatistics& used, const std::string& path,
                                   const std::optional<PixelStatistics>& own,
                                   const Classifier& model) {
  // Packages round the mean and std of the same preset differently. This allows for it.
  constexpr double kRounding = 0.05, kLarge = 0.5;
  StatisticsReport report;
  PixelStatistics trained;
  std::string source, advice;
  if (own.has_value()) {
    trained = *own;
    source = absl::StrCat("the weights in ", path, " were");
  } else {
    const NormalizeConfig usual = model.usual_normalization();
    ProblemList ignored;
    const std::optional<Normalize> normalize =
        Normalize::Create(usual, /*channels=*/0, /*otherwise=*/nullptr, Problems(&ignored));
    if (normalize.has_value()) trained = normalize->statistics();
    source = absl::StrCat("published weights of ", model.backbone_name(), " were");
    if (usual.has_preset()) {
      advice = absl::StrCat(", normalize { preset: ", NormalizeConfig::Preset_Name(usual.preset()),
                            " }");
    }
  }
  // Pipeline::Check() has warned of a pipeline without normalize {}.
  if (used.mean.empty() || used.mean.size() != trained.mean.size()) return report;
  const double difference = GreatestDifference(used, trained);
  if (difference <= kRounding) return report;
  (difference > kLarge ? report.warning : report.note) =
      absl::StrCat("images are normalised by ", Describe(used), "; ", source, " trained with ",
                   Describe(trained), advice);
  return report;
}

std::string DigestOf(const DataIdentity& identity,
                     const std::optional<PixelStatistics>& statistics) {
  Sha256 sum;
  sum.Update(absl::StrJoin(identity.classes, "\n"));
  if (statistics.has_value()) sum.Update(Describe(*statistics));
  return sum.HexDigest().substr(0, 16);
}

}  // namespace finetune
