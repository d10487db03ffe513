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
  // Marks each point, for few of them.
  bool dots = false;
};

struct Chart {
  std::string title;
  std::string x_label;
  std::vector<Series> series;
  // Values 0..1, shown as 0 % to 100 %.
  bool percent = false;
};

// The chart as one inline <svg> of a page. Lines have the classes line1, line2, ..., dots dot1,
// ...; colours are the page's. A line of very many points is drawn by the extremes of each pixel.
std::string ToSvg(const Chart& chart);

// Round values, one, two or five times a power of ten apart, that span low..high; at least two, at
// most `most` + 1 of them.
std::vector<double> Ticks(double low, double high, int most);

// For text and attributes of HTML and SVG.
std::string EscapeHtml(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CHART_H_
