#ifndef FINETUNE_OBSERVE_CHART_H_
#define FINETUNE_OBSERVE_CHART_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

// One curve of a chart.
struct Series {
  std::string name;
  // The points (x, y) of the curve, sorted by x. A point with an infinite or NaN coordinate leaves
  // a gap in the line.
  std::vector<std::pair<double, double>> points;
  // Whether each point is also marked by a dot.
  bool dots = false;
};

struct Chart {
  std::string title;
  std::string x_label;
  std::vector<Series> series;
  // Whether the y values are shares of 0 to 1, to be labelled 0 % to 100 %.
  bool percent = false;
  // Whether the x axis is logarithmic. All x values must then be above 0.
  bool x_is_log = false;
};

// Returns the chart as an <svg> element to embed in an HTML page. Lines have the CSS classes line1,
// line2, ..., dots have dot1, dot2, ...; the page sets their colours. Of a curve with more than
// four points in a column of pixels, only the first, lowest, highest and last of them are drawn.
std::string ToSvg(const Chart& chart);

// Returns the values of an axis at which ticks are drawn. They are successive multiples of 1, 2 or
// 5 times a power of ten, from `low` or just below to `high` or just above. There are at least two
// and at most about `most` + 1.
std::vector<double> Ticks(double low, double high, int most);

// Returns `text` escaped for HTML and SVG, also for use in an attribute.
std::string EscapeHtml(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CHART_H_
