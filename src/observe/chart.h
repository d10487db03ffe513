#ifndef FINETUNE_OBSERVE_CHART_H_
#define FINETUNE_OBSERVE_CHART_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace finetune {

struct Series {
  std::string name;
  // By x. A point that is not finite leaves a gap.
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

// Returns the chart as one inline <svg> of a page. Lines have the classes line1, line2, ..., dots
// dot1, ...; the page sets the colours. A line of very many points is drawn by the extremes of each
// pixel.
std::string ToSvg(const Chart& chart);

// Returns round values, one, two or five times a power of ten apart, that span low..high. There are
// at least two and at most `most` + 1.
std::vector<double> Ticks(double low, double high, int most);

// Escapes text for HTML and SVG, attributes included.
std::string EscapeHtml(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CHART_H_
