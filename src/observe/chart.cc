#include "src/observe/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace finetune {
namespace {

// The size of the chart, and the margins around the area between the axes, in pixels.
constexpr double kWidth = 560, kHeight = 260;
constexpr double kLeft = 56, kRight = 14, kTop = 34, kBottom = 40;
constexpr double kFrameWidth = kWidth - kLeft - kRight;
constexpr double kFrameHeight = kHeight - kTop - kBottom;

struct Range {
  double low = HUGE_VAL, high = -HUGE_VAL;
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// A coordinate of at least this size is treated as infinite, because computing with it could
// overflow.
constexpr double kLargest = 1e100;

bool IsPoint(const std::pair<double, double>& point) {
  return std::abs(point.first) < kLargest && std::abs(point.second) < kLargest;
}

// Returns a tick's label with enough digits to distinguish adjacent ticks.
std::string TickLabel(double value, double step, bool percent) {
  if (percent) {
    value *= 100;
    step *= 100;
  }
  const double largest = std::abs(value);
  std::string text;
  if (largest >= 1e6) {
    text = absl::StrFormat("%gM", value / 1e6);
  } else if (largest >= 1e4) {
    text = absl::StrFormat("%gk", value / 1e3);
  } else if (largest > 0 && step < 1e-4) {
    text = absl::StrFormat("%.3g", value);
  } else {
    const int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
    text = absl::StrFormat("%.*f", digits, value);
  }
  return percent ? text + " %" : text;
}

// Returns the chart with the logarithm to base 10 in place of each x.
Chart WithPowersOfTen(Chart chart) {
  for (Series& series : chart.series) {
    for (auto& point : series.points) point.first = std::log10(point.first);
  }
  return chart;
}

// Returns the label of a tick at 10^value.
std::string PowerLabel(double value) {
  return std::abs(value - std::round(value)) < 1e-6
             ? absl::StrFormat("1e%d", static_cast<int>(std::round(value)))
             : absl::StrFormat("%.2g", std::pow(10, value));
}

// The points, in pixels, of a part of a curve between two gaps. AppendColumn() adds the points of
// one column of pixels: all if they are at most four, otherwise the first, the lowest, the highest
// and the last.
using Points = std::vector<std::pair<double, double>>;

void AppendColumn(const Points& column, Points* out) {
  if (column.size() <= 4) {
    out->insert(out->end(), column.begin(), column.end());
    return;
  }
  const auto by_y = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [low, high] = std::minmax_element(column.begin(), column.end(), by_y);
  out->push_back(column.front());
  out->push_back(*std::min(low, high));
  out->push_back(*std::max(low, high));
  out->push_back(column.back());
}

double AtX(double value, const Range& range) {
  return kLeft + kFrameWidth * (value - range.low) / (range.high - range.low);
}

double AtY(double value, const Range& range) {
  return kTop + kFrameHeight * (range.high - value) / (range.high - range.low);
}

// Returns a series as lines in pixels: one line for each part of the curve between two gaps.
std::vector<Points> Lines(const Series& series, const Range& x_range, const Range& y_range) {
  std::vector<Points> lines;
  Points column;
  const auto end_column = [&] {
    if (!column.empty()) AppendColumn(column, &lines.back());
    column.clear();
  };
  bool gap = true;
  for (const auto& point : series.points) {
    if (!IsPoint(point)) {
      end_column();
      gap = true;
      continue;
    }
    const double x = AtX(point.first, x_range);
    const double y = AtY(point.second, y_range);
    if (gap) lines.emplace_back();
    gap = false;
    if (!column.empty() && std::floor(x) != std::floor(column.front().first)) end_column();
    column.emplace_back(x, y);
  }
  end_column();
  return lines;
}

void AppendLegend(const Chart& chart, std::string* svg) {
  // The names are placed from right to left, beginning at the right edge. A letter is about 6.6
  // pixels wide.
  double x = kWidth - kRight;
  for (size_t i = chart.series.size(); i-- > 0;) {
    const std::string& name = chart.series[i].name;
    x -= 6.6 * static_cast<double>(name.size());
    absl::StrAppendFormat(svg, "<text class=\"label\" x=\"%.1f\" y=\"20\">%s</text>", x,
                          EscapeHtml(name));
    absl::StrAppendFormat(svg,
                          "<line class=\"line%d\" x1=\"%.1f\" y1=\"16\" x2=\"%.1f\" y2=\"16\"/>",
                          i + 1, x - 20, x - 6);
    x -= 34;
  }
}

}  // namespace

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::vector<double> Ticks(double low, double high, int most) {
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low <= 1e-9 * size || size < 1 / kLargest) {
    // All values are almost equal, so the axis is extended on both sides.
    const double room = size < 1 / kLargest ? 1 : size / 2;
    low -= room;
    high += room;
  }
  const double exact = (high - low) / most;
  const double power = std::pow(10, std::floor(std::log10(exact)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= exact * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  // A small tolerance, because 0.3 / 0.1 is not exactly 3.
  const double first = std::floor(low / step + 1e-6), last = std::ceil(high / step - 1e-6);
  std::vector<double> ticks;
  for (int i = 0; i <= last - first; ++i) ticks.push_back((first + i) * step);
  return ticks;
}

std::string ToSvg(const Chart& given) {
  Chart powers;
  if (given.x_is_log) powers = WithPowersOfTen(given);
  const Chart& chart = given.x_is_log ? powers : given;
  std::string svg = absl::StrFormat(
      "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">"
      "<text class=\"title\" x=\"%g\" y=\"20\">%s</text>",
      kWidth, kHeight, EscapeHtml(chart.title), kLeft, EscapeHtml(chart.title));
  Range x, y;
  for (const Series& series : chart.series) {
    for (const auto& point : series.points) {
      if (!IsPoint(point)) continue;
      x.Add(point.first);
      y.Add(point.second);
    }
  }
  if (!(x.low <= x.high)) {
    absl::StrAppendFormat(
        &svg,
        "<text class=\"label\" text-anchor=\"middle\" x=\"%g\" y=\"%g\">no values</text></svg>",
        kLeft + kFrameWidth / 2, kTop + kFrameHeight / 2);
    return svg;
  }
  // Start the y axis at 0, unless the curve would then use only the upper 40 % of the chart.
  if (y.low > 0 && y.low < 0.6 * y.high) y.low = 0;
  if (y.low == y.high && y.low > 0) y.low = 0;
  if (!chart.x_is_log && x.low > 0 && x.low < 0.2 * x.high) x.low = 0;
  const std::vector<double> y_ticks = Ticks(y.low, y.high, 5);
  y = {y_ticks.front(), y_ticks.back()};
  // The x axis ends at the last point, not at a tick after it, unless there would be only one tick.
  std::vector<double> x_ticks = Ticks(x.low, x.high, 8);
  const double x_step = x_ticks[1] - x_ticks[0];
  if (x.high - x.low > x_step) {
    std::erase_if(x_ticks, [&](double tick) { return tick < x.low || tick > x.high; });
  } else {
    x = {x_ticks.front(), x_ticks.back()};
  }

  for (const double tick : y_ticks) {
    const double at = AtY(tick, y);
    absl::StrAppendFormat(&svg,
                          "<line class=\"grid\" x1=\"%g\" y1=\"%.1f\" x2=\"%g\" y2=\"%.1f\"/>"
                          "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"%.1f\">%s</text>",
                          kLeft, at, kWidth - kRight, at, kLeft - 6, at + 4,
                          TickLabel(tick, y_ticks[1] - y_ticks[0], chart.percent));
  }
  for (const double tick : x_ticks) {
    const double at = AtX(tick, x);
    absl::StrAppendFormat(
        &svg,
        "<line class=\"axis\" x1=\"%.1f\" y1=\"%g\" x2=\"%.1f\" y2=\"%g\"/>"
        "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%g\">%s</text>",
        at, kTop + kFrameHeight, at, kTop + kFrameHeight + 4, at, kTop + kFrameHeight + 16,
        chart.x_is_log ? PowerLabel(tick) : TickLabel(tick, x_step, false));
  }
  absl::StrAppendFormat(&svg, "<path class=\"axis\" d=\"M%g %gV%gH%g\"/>", kLeft, kTop,
                        kTop + kFrameHeight, kWidth - kRight);
  absl::StrAppendFormat(&svg,
                        "<text class=\"tick\" text-anchor=\"middle\" x=\"%g\" y=\"%g\">%s</text>",
                        kLeft + kFrameWidth / 2, kHeight - 6, EscapeHtml(chart.x_label));

  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    std::string path, lonely;
    for (const Points& line : Lines(series, x, y)) {
      for (size_t p = 0; p < line.size(); ++p) {
        absl::StrAppendFormat(&path, "%c%.1f %.1f", p == 0 ? 'M' : 'L', line[p].first,
                              line[p].second);
      }
      // A line of a single point would be invisible, so it is drawn as a dot.
      if (series.dots || line.size() == 1) {
        for (const auto& [at_x, at_y] : line) {
          absl::StrAppendFormat(&lonely,
                                "<circle class=\"dot%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", i + 1,
                                at_x, at_y);
        }
      }
    }
    absl::StrAppendFormat(&svg, "<path class=\"line%d\" d=\"%s\"/>%s", i + 1, path, lonely);
  }
  if (chart.series.size() > 1) AppendLegend(chart, &svg);
  svg += "</svg>";
  return svg;
}

}  // namespace finetune
