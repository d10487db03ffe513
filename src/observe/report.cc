#include "src/observe/report.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "src/base/atomic_file.h"
#include "src/base/own_file.h"
#include "src/base/version.h"
#include "src/metrics/by_class.h"
#include "src/observe/chart.h"
#include "src/observe/class_table.h"
#include "src/observe/contact_sheet.h"
#include "src/observe/heat_map.h"
#include "src/observe/run_log.h"

namespace finetune {
namespace {

constexpr size_t kMostConfusions = 10;

constexpr char kStyle[] = R"(
:root { --text: #1f2328; --dim: #656d76; --line: #d8dee4; --back: #f6f8fa; --card: #ffffff;
  --c1: #2f6fde; --c2: #e0791b; --c3: #2a9d5c; --c4: #b0408f; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --dim: #9198a1; --line: #3d444d; --back: #0d1117; --card: #151b23;
    --c1: #6ea8ff; --c2: #f0a35e; --c3: #56d393; --c4: #e28fcb; }
}
body { margin: 0 auto; padding: 28px 24px; max-width: 1180px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 26px; }
h2 { margin: 32px 0 10px; font-size: 17px; }
.dim { color: var(--dim); }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 14px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 14px; margin: 20px 0 14px; }
.figures dl { margin: 0; }
.figures dt { color: var(--dim); font-size: 13px; }
.figures dd { margin: 0; font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; }
.figures dd.note { color: var(--dim); font-size: 12.5px; font-weight: 400; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11.5px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--dim); }
svg .title { font-size: 14px; font-weight: 600; fill: var(--text); }
svg .grid { stroke: var(--line); stroke-width: 0.7; }
svg .axis { stroke: var(--dim); stroke-width: 0.9; fill: none; }
svg path, svg line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.line1 { stroke: var(--c1); } .line2 { stroke: var(--c2); } .line3 { stroke: var(--c3); } .line4 { stroke: var(--c4); }
.dot1 { fill: var(--c1); } .dot2 { fill: var(--c2); } .dot3 { fill: var(--c3); } .dot4 { fill: var(--c4); }
.right { fill: var(--c3); } .wrong { fill: var(--c2); } svg path.right, svg path.wrong { stroke: none; }
svg .count { fill: var(--text); }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 10px; }
figure { margin: 0; font-size: 12px; color: var(--dim); }
figure img { display: block; width: 100%; }
p { margin: 0 0 10px; }
figcaption { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.worst { margin: 12px 0 0; padding-left: 1.4em; font-size: 13.5px; }
pre { margin: 0; overflow-x: auto; font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
)";

// Sums over all records of a run. `memory_mib` is the largest value instead.
struct Totals {
  double seconds = 0;  // spent in training iterations
  double data_seconds = 0;
  double validation_seconds = 0;
  double images = 0;
  int64_t memory_mib = 0;
};

Totals AddUp(const History& history) {
  Totals totals;
  for (const IterationRecord& record : history.iterations) {
    totals.memory_mib = std::max(totals.memory_mib, record.memory_mib);
    const double seconds = record.time_s * static_cast<double>(record.averaged);
    if (!std::isfinite(seconds)) continue;
    totals.seconds += seconds;
    if (std::isfinite(record.data_time_s)) {
      totals.data_seconds += record.data_time_s * static_cast<double>(record.averaged);
    }
    if (std::isfinite(record.images_per_s)) totals.images += record.images_per_s * seconds;
  }
  for (const EvaluationRecord& record : history.evaluations) {
    if (std::isfinite(record.seconds)) totals.validation_seconds += record.seconds;
  }
  return totals;
}

// Appends a key figure: its name, its value and, in small print below, a note.
void AppendFigure(absl::string_view name, absl::string_view value, absl::string_view note,
                  std::string* html) {
  absl::StrAppend(html, "<dl class=\"card\"><dt>", EscapeHtml(name), "</dt><dd>", EscapeHtml(value),
                  "</dd><dd class=\"note\">", EscapeHtml(note), "</dd></dl>\n");
}

// Appends a card with images of the first batch.
void AppendFirstBatch(const absl::StatusOr<FirstBatch>& batch, std::string* html) {
  if (absl::IsNotFound(batch.status())) return;
  *html += "<h2>What the model gets</h2>\n<div class=\"card\">";
  if (!batch.ok()) {
    absl::StrAppend(html, "<span class=\"dim\">No images: ", EscapeHtml(batch.status().message()),
                    "</span></div>\n");
    return;
  }
  absl::StrAppend(html, "<p class=\"dim\">", EscapeHtml(batch->title),
                  "</p>\n<div class=\"images\">\n");
  for (const FirstBatch::Image& image : batch->images) {
    absl::StrAppend(html, ToFigure(image.media_type, image.bytes, image.caption));
  }
  *html += "</div></div>\n";
}

void AppendFigures(const History& history, std::string* html) {
  const Totals totals = AddUp(history);
  *html += "<div class=\"figures\">\n";
  if (!history.iterations.empty()) {
    const IterationRecord &first = history.iterations.front(), &last = history.iterations.back();
    AppendFigure("Training loss", absl::StrFormat("%.4g", last.loss),
                 absl::StrFormat("first %.4g; after %d iterations", first.loss, last.iteration),
                 html);
  }
  if (!history.evaluations.empty()) {
    AppendFigure("Validation loss", absl::StrFormat("%.4g", history.evaluations.back().loss),
                 absl::StrFormat("first %.4g", history.evaluations.front().loss), html);
    const EvaluationRecord* best = nullptr;
    for (const EvaluationRecord& record : history.evaluations) {
      const auto top1 = record.accuracy.find("top1");
      if (top1 == record.accuracy.end()) continue;
      if (best == nullptr || top1->second > best->accuracy.at("top1")) best = &record;
    }
    if (best != nullptr) {
      const auto last = history.evaluations.back().accuracy.find("top1");
      AppendFigure(
          "Best top-1 accuracy", absl::StrFormat("%.2f %%", 100 * best->accuracy.at("top1")),
          absl::StrCat(absl::StrFormat("epoch %d, iteration %d", best->epoch, best->iteration),
                       last == history.evaluations.back().accuracy.end()
                           ? ""
                           : absl::StrFormat("; last %.2f %%", 100 * last->second)),
          html);
    }
  }
  if (!history.ends.empty()) {
    AppendFigure("Stopped early", absl::StrFormat("iteration %d", history.ends.back().iteration),
                 history.ends.back().reason, html);
  }
  if (totals.seconds > 0) {
    AppendFigure("Images per second", absl::StrFormat("%.1f", totals.images / totals.seconds),
                 "training, all ranks together", html);
    AppendFigure("Waiting for data",
                 absl::StrFormat("%.1f %%", 100 * totals.data_seconds / totals.seconds),
                 "of the iterations' time, on rank 0", html);
    AppendFigure("Time", FormatDuration(totals.seconds + totals.validation_seconds),
                 absl::StrCat(FormatDuration(totals.validation_seconds), " of it validating"),
                 html);
    AppendFigure("Peak memory", absl::StrFormat("%d MiB", totals.memory_mib), "of rank 0", html);
  }
  *html += "</div>\n";
}

void AppendCharts(const History& history, std::string* html) {
  const auto curve = [&](std::string name, double IterationRecord::*value) {
    Series series{std::move(name), {}};
    for (const IterationRecord& record : history.iterations) {
      series.points.emplace_back(record.iteration, record.*value);
    }
    return series;
  };
  Series validation{"validation", {}, /*dots=*/history.evaluations.size() <= 60};
  std::map<std::string, Series> accuracies;
  for (const EvaluationRecord& record : history.evaluations) {
    validation.points.emplace_back(record.iteration, record.loss);
    for (const auto& [name, value] : record.accuracy) {
      Series& series = accuracies[name];
      series.name = name;
      series.dots = validation.dots;
      series.points.emplace_back(record.iteration, value);
    }
  }
  Chart loss{"Loss", "iteration", {curve("training", &IterationRecord::loss)}};
  if (!history.evaluations.empty()) loss.series.push_back(std::move(validation));
  Chart accuracy{"Accuracy on the validation split", "iteration", {}, /*percent=*/true};
  for (auto& [name, series] : accuracies) accuracy.series.push_back(std::move(series));
  const Chart lr{"Learning rate", "iteration", {curve("lr", &IterationRecord::lr)}};
  const Chart speed{
      "Images per second", "iteration", {curve("speed", &IterationRecord::images_per_s)}};
  *html += "<div class=\"grid2\">\n";
  for (const Chart& chart : {loss, accuracy, lr, speed}) {
    absl::StrAppend(html, "<div class=\"card\">", ToSvg(chart), "</div>\n");
  }
  *html += "</div>\n";
}

double Accuracy(const EvaluationRecord& record) { return MicroAverages(record.classes).recall; }

// Returns the validation with the best accuracy among those that recorded counts of classes; null
// if none did. Where runtime.checkpoint.best_metric is TOP1, best.pth is its checkpoint.
const EvaluationRecord* BestWithClasses(const History& history) {
  const EvaluationRecord* best = nullptr;
  for (const EvaluationRecord& record : history.evaluations) {
    if (record.classes.empty()) continue;
    if (best == nullptr || Accuracy(record) > Accuracy(*best)) best = &record;
  }
  return best;
}

// Returns the names of the classes 0 to `classes` - 1. A class without a recorded name is called
// "class N".
std::vector<std::string> ClassNames(const History& history, size_t classes) {
  std::vector<std::string> names;
  if (!history.runs.empty()) names = history.runs.back().class_names;
  names.resize(std::min(names.size(), classes));
  while (names.size() < classes) names.push_back(absl::StrCat("class ", names.size()));
  return names;
}

// Appends a list of the most frequent mistakes: the pairs of classes (true class, guessed class)
// with the most images.
void AppendConfusions(absl::Span<const int64_t> matrix, const std::vector<std::string>& names,
                      std::string* html) {
  std::vector<size_t> wrong;
  for (size_t i = 0; i < matrix.size(); ++i) {
    if (i / names.size() != i % names.size() && matrix[i] > 0) wrong.push_back(i);
  }
  std::stable_sort(wrong.begin(), wrong.end(),
                   [&](size_t a, size_t b) { return matrix[a] > matrix[b]; });
  if (wrong.empty()) return;
  *html += "<ol class=\"worst\">\n";
  for (size_t i = 0; i < std::min(wrong.size(), kMostConfusions); ++i) {
    absl::StrAppendFormat(html, "<li>%s taken for %s: %d</li>\n",
                          EscapeHtml(names[wrong[i] / names.size()]),
                          EscapeHtml(names[wrong[i] % names.size()]), matrix[wrong[i]]);
  }
  *html += "</ol>\n";
}

void AppendClasses(const History& history, std::string* html) {
  const EvaluationRecord* best = BestWithClasses(history);
  if (best == nullptr) return;
  const std::vector<std::string> names = ClassNames(history, best->classes.size());
  absl::StrAppendFormat(html,
                        "<h2>By class <span class=\"dim\">after iteration %d, the validation with "
                        "the best accuracy</span></h2>\n",
                        best->iteration);
  *html += ClassTable(best->classes, best->has_guessed, names);
  if (best->confusion.empty()) return;
  absl::StrAppend(html, "<h2>Confusion matrix</h2>\n<div class=\"card\">",
                  ConfusionSvg(best->confusion, names), "\n");
  AppendConfusions(best->confusion, names, html);
  *html += "</div>\n";
}

// Appends the config. The comment at the end of a line, which says where the value came from, is
// shown in a weaker colour.
void AppendConfig(absl::string_view text, std::string* html) {
  if (text.empty()) return;
  *html += "<h2>Config, and where each value came from</h2>\n<div class=\"card\"><pre>";
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    const size_t comment = line.rfind("  # ");
    absl::StrAppend(html, EscapeHtml(line.substr(0, comment)));
    if (comment != absl::string_view::npos) {
      absl::StrAppend(html, "<span class=\"dim\">", EscapeHtml(line.substr(comment)), "</span>");
    }
    *html += '\n';
  }
  *html += "</pre></div>\n";
}

}  // namespace

const char kReportFirstLine[] = "<!DOCTYPE html><!-- Written by finetune. -->";

std::string RenderReport(const History& history, absl::string_view config_text,
                         const absl::StatusOr<FirstBatch>& first_batch) {
  const RunRecord run = history.runs.empty() ? RunRecord() : history.runs.back();
  const std::string name = EscapeHtml(run.name.empty() ? "Training run" : run.name);
  std::string html = absl::StrCat(
      kReportFirstLine,
      "\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"generator\" content=\"",
      kFinetuneWriter,
      "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      name, " - finetune</title>\n<style>", kStyle, kClassTableStyle, "</style></head><body>\n<h1>",
      name, "</h1>\n<div class=\"dim\">");
  if (!history.runs.empty()) {
    const absl::Time began = absl::UnixEpoch() + absl::Seconds(history.runs.front().began_unix_s);
    absl::StrAppend(&html, absl::FormatTime("%Y-%m-%d %H:%M %Ez", began, absl::LocalTimeZone()),
                    " &middot; ", run.ranks, run.ranks == 1 ? " rank" : " ranks", ", rank 0 on ",
                    EscapeHtml(run.host));
    if (!run.writer.empty()) absl::StrAppend(&html, " &middot; ", EscapeHtml(run.writer));
    if (history.runs.size() > 1) {
      absl::StrAppend(&html, " &middot; resumed at iteration ");
      for (size_t i = 1; i < history.runs.size(); ++i) {
        absl::StrAppend(&html, i > 1 ? ", " : "", history.runs[i].iteration);
      }
    }
  }
  html += "</div>\n";
  AppendFirstBatch(first_batch, &html);
  AppendFigures(history, &html);
  AppendCharts(history, &html);
  AppendClasses(history, &html);
  AppendConfig(config_text, &html);
  html += "</body></html>\n";
  return html;
}

absl::StatusOr<std::string> WriteReport(const std::string& work_dir) {
  FT_ASSIGN_OR_RETURN(const History history, ReadHistory(work_dir));
  // If config.pbtxt is missing, the report is written without it.
  const absl::StatusOr<std::string> config = ReadRegularFile(work_dir + "/config.pbtxt");
  if (!config.ok() && !absl::IsNotFound(config.status())) return config.status();
  if (history.runs.empty() && history.iterations.empty()) {
    return absl::NotFoundError(
        absl::StrCat(work_dir, " holds no records of a run (*.jsonl); give the --work_dir of one"));
  }
  const std::string path = work_dir + "/report.html";
  FT_RETURN_IF_ERROR(CheckOwnText(path, kReportFirstLine));
  FT_RETURN_IF_ERROR(WriteFileAtomically(
      path, RenderReport(history, config.ok() ? *config : "", ReadFirstBatch(work_dir))));
  return path;
}

}  // namespace finetune
