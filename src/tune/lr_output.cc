#include "src/tune/lr_output.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/observe/chart.h"

namespace finetune {
namespace {

// The table has about this many points.
constexpr size_t kRows = 12;

// fastai suggests a tenth of the rate at which the loss is lowest.
double TenthOfLowest(const LrResult& result) {
  return result.curve.points()[result.suggestion->lowest].lr / 10;
}

std::string DescribeEnd(const LrCurve& curve) {
  const size_t made = curve.points().size();
  switch (curve.end()) {
    case LrTestEnd::kHighestRate:
      return absl::StrFormat("ended at the highest rate after %d iterations", made);
    case LrTestEnd::kLossRose:
      return absl::StrFormat(
          "ended at lr %.2e in iteration %d: the smoothed loss is more than %g times its best",
          curve.last_rate(), made, curve.options().stop_factor);
    case LrTestEnd::kNotFinite:
      return absl::StrFormat("ended at lr %.2e in iteration %d: the loss is not finite",
                             curve.last_rate(), made + 1);
  }
  return "";
}

const char* NameOf(LrTestEnd end) {
  switch (end) {
    case LrTestEnd::kHighestRate:
      return "highest_rate";
    case LrTestEnd::kLossRose:
      return "loss_rose";
    case LrTestEnd::kNotFinite:
      return "not_finite";
  }
  return "";
}

std::string ToCsv(const LrCurve& curve) {
  std::string text = "iteration,lr,loss,smoothed_loss\n";
  for (size_t i = 0; i < curve.points().size(); ++i) {
    const LrPoint& point = curve.points()[i];
    absl::StrAppendFormat(&text, "%d,%.9g,%.9g,%.9g\n", i + 1, point.lr, point.loss,
                          point.smoothed);
  }
  return text;
}

std::string ToJson(const LrResult& result) {
  const LrTestOptions& options = result.curve.options();
  nlohmann::ordered_json json = {{"config", result.config},
                                 {"ranks", result.ranks},
                                 {"total_batch_size", result.total_batch},
                                 {"min", options.min},
                                 {"max", options.max},
                                 {"iterations", options.iterations},
                                 {"smoothing", options.smoothing},
                                 {"stop_factor", options.stop_factor},
                                 {"end", NameOf(result.curve.end())},
                                 {"suggestion", nullptr}};
  if (result.suggestion.has_value()) {
    const double steepest = result.curve.points()[result.suggestion->steepest].lr;
    json["suggestion"] = {{"steepest", steepest},
                          {"tenth_of_lowest", TenthOfLowest(result)},
                          {"set", SetLearningRate(result, steepest)}};
  }
  nlohmann::ordered_json points = nlohmann::ordered_json::array();
  for (const LrPoint& point : result.curve.points()) {
    points.push_back({{"lr", point.lr}, {"loss", point.loss}, {"smoothed_loss", point.smoothed}});
  }
  json["points"] = std::move(points);
  return json.dump(1) + "\n";
}

// Returns the chart as a page of its own that follows the light or dark setting of its viewer.
std::string ToImage(const LrResult& result) {
  const std::vector<LrPoint>& points = result.curve.points();
  // Losses above the stop would flatten the rest of the curve, so they leave a gap.
  double best = HUGE_VAL;
  for (const LrPoint& point : points) best = std::min(best, point.smoothed);
  const double highest = best * result.curve.options().stop_factor;
  Series losses{.name = "loss", .points = {}}, smoothed{.name = "smoothed", .points = {}};
  for (const LrPoint& point : points) {
    const bool shown = point.loss <= highest;
    losses.points.emplace_back(point.lr,
                               shown ? point.loss : std::numeric_limits<double>::quiet_NaN());
    smoothed.points.emplace_back(point.lr, point.smoothed);
  }
  Chart chart{.title = "Learning-rate range test", .x_label = "learning rate", .series = {}};
  chart.x_is_log = true;
  chart.series = {losses, smoothed};
  if (result.suggestion.has_value()) {
    const LrPoint& steepest = points[result.suggestion->steepest];
    chart.series.push_back({.name = absl::StrFormat("steepest %.1e", steepest.lr),
                            .points = {{steepest.lr, steepest.smoothed}},
                            .dots = true});
  }
  // Without variables of CSS, which not every viewer of images knows.
  constexpr char kStyle[] =
      "<style>svg{background:#fff}text{font:11.5px system-ui,sans-serif;fill:#5c6b7a}"
      ".title{font-size:14px;font-weight:600;fill:#1c2733}path,line{fill:none;stroke-width:1.6;"
      "stroke-linejoin:round}.grid{stroke:#d7dee6;stroke-width:.7}.axis{stroke:#5c6b7a;"
      "stroke-width:.9}.line1{stroke:#9fb3c8;stroke-width:1}.line2{stroke:#2f6fbf}"
      ".line3{stroke:#c2502e}.dot3{fill:#c2502e}@media(prefers-color-scheme:dark){"
      "svg{background:#14191f}text{fill:#93a1b0}.title{fill:#e6edf3}.grid{stroke:#33404d}"
      ".axis{stroke:#93a1b0}}</style>";
  std::string svg = ToSvg(chart);
  const size_t head = svg.find('>') + 1;
  svg.insert(head, kStyle);
  return absl::StrCat("<svg xmlns=\"http://www.w3.org/2000/svg\"", svg.substr(4), "\n");
}

}  // namespace

std::string SetLearningRate(const LrResult& result, double lr) {
  return absl::StrFormat("--set=%s=%.2g", result.field, lr / result.field_factor);
}

std::string ToTable(const LrResult& result) {
  const std::vector<LrPoint>& points = result.curve.points();
  std::string text = absl::StrFormat(
      "%d images an iteration on %d rank%s, lr %.3g to %.3g in %d iterations, loss smoothed by "
      "%g\n\n%10s %10s %10s %10s\n",
      result.total_batch, result.ranks, result.ranks == 1 ? "" : "s", result.curve.options().min,
      result.curve.options().max, result.curve.options().iterations,
      result.curve.options().smoothing, "iteration", "lr", "loss", "smoothed");
  std::set<size_t> rows;
  for (size_t row = 0; row < kRows && !points.empty(); ++row) {
    rows.insert(row * (points.size() - 1) / (kRows - 1));
  }
  if (result.suggestion.has_value()) {
    rows.insert({result.suggestion->steepest, result.suggestion->lowest});
  }
  for (const size_t i : rows) {
    absl::StrAppendFormat(&text, "%10d %10.2e %10.4g %10.4g", i + 1, points[i].lr, points[i].loss,
                          points[i].smoothed);
    if (result.suggestion.has_value() && i == result.suggestion->steepest) text += "  steepest";
    if (result.suggestion.has_value() && i == result.suggestion->lowest) text += "  lowest";
    text += "\n";
  }
  absl::StrAppend(&text, "\n", DescribeEnd(result.curve), "\n");
  if (!result.suggestion.has_value()) return text;
  const double steepest = points[result.suggestion->steepest].lr;
  const double tenth = TenthOfLowest(result);
  absl::StrAppendFormat(&text,
                        "suggestion: %.2g, where the smoothed loss falls most steeply\n"
                        "  %s\n"
                        "or %.2g, a tenth of the rate at the lowest smoothed loss\n"
                        "  %s\n",
                        steepest, SetLearningRate(result, steepest), tenth,
                        SetLearningRate(result, tenth));
  if (result.field_factor != 1) {
    absl::StrAppendFormat(&text,
                          "schedule.auto_scale_lr multiplies the field by %.4g at this batch; the "
                          "lines above allow for that\n",
                          result.field_factor);
  }
  return text;
}

absl::StatusOr<LrFormat> FormatOf(const std::string& path) {
  if (absl::EndsWith(path, ".csv")) return LrFormat::kCsv;
  if (absl::EndsWith(path, ".json")) return LrFormat::kJson;
  if (absl::EndsWith(path, ".svg")) return LrFormat::kSvg;
  return absl::InvalidArgumentError(
      absl::StrCat("--output: found ", path, "; expected a name that ends in .csv, .json or .svg"));
}

std::string ToFile(const LrResult& result, LrFormat format) {
  switch (format) {
    case LrFormat::kCsv:
      return ToCsv(result.curve);
    case LrFormat::kJson:
      return ToJson(result);
    case LrFormat::kSvg:
      return ToImage(result);
  }
  return "";
}

}  // namespace finetune
