#include "src/metrics/summary.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "src/base/utf8.h"
#include "src/metrics/accuracy.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

// The most classes that the table shows.
constexpr size_t kMostRows = 50;
// The widths in characters of a class name: in the first column, and in the column "most often
// taken for".
constexpr size_t kNameColumns = 26, kGuessColumns = 20;

bool Continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

size_t Characters(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !Continues(byte); }));
}

// Returns the name cut to at most `columns` characters, without control characters.
std::string Shown(absl::string_view name, size_t columns) {
  std::string text = ValidUtf8(name);
  for (char& byte : text) {
    if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F) byte = ' ';
  }
  if (Characters(text) <= columns) return text;
  size_t end = 0;
  for (size_t left = columns - 1; left > 0 || Continues(text[end]); ++end) {
    if (!Continues(text[end])) --left;
  }
  return text.substr(0, end) + "…";
}

std::string Padded(absl::string_view name, size_t columns) {
  std::string text = Shown(name, columns);
  text.append(columns - Characters(text), ' ');
  return text;
}

std::string Percent(std::optional<double> share) {
  return share.has_value() ? absl::StrFormat("%.2f %%", 100 * *share) : "-";
}

std::string Row(absl::string_view name, absl::string_view images, absl::string_view precision,
                absl::string_view recall, absl::string_view f1, absl::string_view taken_for) {
  std::string row = absl::StrFormat("%s  %8s  %9s  %8s  %8s", Padded(name, kNameColumns), images,
                                    precision, recall, f1);
  if (!taken_for.empty()) absl::StrAppend(&row, "  ", taken_for);
  return row + "\n";
}

std::string Row(absl::string_view name, const ClassAverages& averages) {
  return Row(name, "", Percent(averages.precision), Percent(averages.recall), Percent(averages.f1),
             "");
}

std::string ClassTable(const EvaluationSummary& summary) {
  std::vector<size_t> labels(summary.classes.size());
  std::iota(labels.begin(), labels.end(), size_t{0});
  std::string table;
  if (labels.size() > kMostRows) {
    std::erase_if(labels, [&](size_t label) { return summary.classes[label].support == 0; });
    std::stable_sort(labels.begin(), labels.end(), [&](size_t a, size_t b) {
      return summary.classes[a].F1().value_or(0) < summary.classes[b].F1().value_or(0);
    });
    labels.resize(std::min(labels.size(), kMostRows));
    absl::StrAppendFormat(&table,
                          "the %d classes with the lowest F1, of %d; --output=FILE.json has all\n",
                          labels.size(), summary.classes.size());
  }
  // For each class, the confusion with the most images. summary.confusions is sorted by images, so
  // this is the first one.
  std::map<size_t, const Confusion*> most;
  for (const Confusion& one : summary.confusions) most.try_emplace(one.label, &one);
  absl::StrAppend(&table,
                  Row("class", "images", "precision", "recall", "F1", "most often taken for"));
  for (const size_t label : labels) {
    const ClassResult& one = summary.classes[label];
    std::string taken_for;
    if (const auto found = most.find(label); found != most.end()) {
      taken_for = absl::StrCat(Shown(summary.class_names[found->second->guess], kGuessColumns),
                               " (", found->second->images, ")");
    }
    absl::StrAppend(
        &table, Row(summary.class_names[label], absl::StrCat(one.support), Percent(one.Precision()),
                    Percent(one.Recall()), Percent(one.F1()), taken_for));
  }
  absl::StrAppend(&table, Row("macro average", summary.macro), Row("micro average", summary.micro));
  return table;
}

Json Number(std::optional<double> value) { return value.has_value() ? Json(*value) : Json(); }

Json ToJson(const ClassAverages& averages) {
  return {{"precision", averages.precision}, {"recall", averages.recall}, {"f1", averages.f1}};
}

}  // namespace

EvaluationSummary Summarize(absl::Span<const Prediction> predictions,
                            std::vector<std::string> class_names, const std::vector<int>& ks) {
  EvaluationSummary summary;
  const auto classes = static_cast<int64_t>(class_names.size());
  summary.class_names = std::move(class_names);
  summary.images = static_cast<int64_t>(predictions.size());
  summary.loss = MeanLoss(predictions);
  for (const int k : ks) summary.topk.emplace_back(k, TopKAccuracy(predictions, k));
  summary.accuracy = TopKAccuracy(predictions, 1);
  const auto right = std::count_if(predictions.begin(), predictions.end(),
                                   [](const Prediction& one) { return one.correct(); });
  summary.accuracy_interval = BootstrapAccuracy(right, summary.images);
  summary.calibration = Calibrate(predictions);
  summary.classes = CountByClass(predictions, classes);
  summary.balanced_accuracy = BalancedAccuracy(summary.classes);
  summary.macro = MacroAverages(summary.classes);
  summary.micro = MicroAverages(summary.classes);
  if (classes <= kMostMatrixClasses) summary.matrix = ConfusionMatrix(predictions, classes);
  summary.confusions = Confusions(predictions);
  return summary;
}

std::string ToTable(const EvaluationSummary& summary, const EvaluationSource& source) {
  std::string text =
      absl::StrFormat("accuracy %.2f %%, 95 %% interval %.2f to %.2f %% (bootstrap, %d draws)\n",
                      100 * summary.accuracy, 100 * summary.accuracy_interval.low,
                      100 * summary.accuracy_interval.high, kBootstrapDraws);
  absl::StrAppendFormat(
      &text, "balanced accuracy %.2f %%, expected calibration error %.2f %% (%d bins)\n",
      100 * summary.balanced_accuracy, 100 * summary.calibration.error, kCalibrationBins);
  if (source.other.has_value()) {
    const PairedResult& paired = source.other->result;
    absl::StrAppendFormat(&text,
                          "%s: accuracy %.2f %%; %d images are right here alone, %d there alone\n"
                          "McNemar's exact test of the two: p = %.3g\n",
                          source.other->checkpoint, 100 * source.other->accuracy, paired.only_first,
                          paired.only_second, paired.p_value);
  }
  return absl::StrCat(text, "\n", ClassTable(summary));
}

std::string ToJson(const EvaluationSummary& summary, const EvaluationSource& source) {
  Json json = {
      {"checkpoint", source.checkpoint}, {"config", source.config}, {"data", source.data},
      {"split", source.split},           {"flip", source.flip},     {"images", summary.images},
      {"damaged", source.damaged},       {"loss", summary.loss}};
  for (const auto& [k, accuracy] : summary.topk) json["topk"][absl::StrCat("top", k)] = accuracy;
  json["accuracy"] = summary.accuracy;
  json["accuracy_interval"] = {{"low", summary.accuracy_interval.low},
                               {"high", summary.accuracy_interval.high},
                               {"level", 0.95},
                               {"method", "percentile bootstrap"},
                               {"draws", kBootstrapDraws}};
  json["balanced_accuracy"] = summary.balanced_accuracy;
  json["macro"] = ToJson(summary.macro);
  json["micro"] = ToJson(summary.micro);
  Json bins = Json::array();
  for (const CalibrationBin& bin : summary.calibration.bins) {
    bins.push_back(
        {{"images", bin.images}, {"confidence", bin.confidence}, {"accuracy", bin.accuracy}});
  }
  json["calibration"] = {{"error", summary.calibration.error}, {"bins", std::move(bins)}};
  if (source.other.has_value()) {
    const PairedResult& paired = source.other->result;
    json["compared"] = {{"checkpoint", source.other->checkpoint},
                        {"accuracy", source.other->accuracy},
                        {"both_right", paired.both},
                        {"only_first_right", paired.only_first},
                        {"only_second_right", paired.only_second},
                        {"neither_right", paired.neither},
                        {"test", "McNemar, exact binomial, two-sided"},
                        {"p_value", paired.p_value}};
  }
  json["classes"] = Json::array();
  for (size_t label = 0; label < summary.classes.size(); ++label) {
    const ClassResult& one = summary.classes[label];
    json["classes"].push_back({{"name", summary.class_names[label]},
                               {"images", one.support},
                               {"guessed", one.guessed},
                               {"correct", one.correct},
                               {"precision", Number(one.Precision())},
                               {"recall", Number(one.Recall())},
                               {"f1", Number(one.F1())}});
  }
  json["confusion"] = nullptr;
  if (!summary.matrix.empty()) {
    const size_t classes = summary.classes.size();
    json["confusion"] = Json::array();
    for (size_t label = 0; label < classes; ++label) {
      const auto row = summary.matrix.begin() + static_cast<std::ptrdiff_t>(label * classes);
      json["confusion"].push_back(
          std::vector<int64_t>(row, row + static_cast<std::ptrdiff_t>(classes)));
    }
  }
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace finetune
