#ifndef FINETUNE_OBSERVE_CHART_H_
#define FINETUNE_OBSERVE_CHART_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

struct Series {
  std::string name;
  // (x, y), sorted by x. A point with an infinite or NaN coordinate leaves a gap.
  std::vector<std::pair<double, double>> points;
  // Marks each point; for series of few points.
  bool dots = false;
};

struct Chart {
  std::string title;
  std::string x_label;
  std::vector<Series> series;
  // The values are 0..1 and shown as 0 % to 100 %.
  bool percent = false;
};

// Returns the chart as an <svg> element to embed in an HTML page. Lines have the CSS classes line1,
// line2, ..., dots have dot1, dot2, ...; the page sets their colours. A line with very many points
// is drawn by the extremes in each column of pixels.
std::string ToSvg(const Chart& chart);

// Returns the ticks of an axis: multiples of 1, 2 or 5 times a power of ten that span low..high.
// There are at least two and at most `most` + 1.
std::vector<double> Ticks(double low, double high, int most);

// Escapes text for HTML and SVG, attributes included.
std::string EscapeHtml(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CHART_H_
