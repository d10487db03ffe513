#include "src/observe/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/utf8.h"
#include "src/observe/chart.h"

namespace finetune {
namespace {

// With at most kMostCounts classes the cells show their counts; with at most kMostNames classes
// rows and columns have names.
constexpr size_t kMostCounts = 20, kMostNames = 40;
// Sizes in pixels. kMostCell and kMostSide: the largest side of a cell and of the matrix. kLetter:
// the width of a letter. kTitleSpace and kTitleWidth: the height and the least width of the space
// for the title.
constexpr double kMostCell = 56, kMostSide = 600, kLetter = 7.2, kTitleSpace = 24,
                 kTitleWidth = 240;
// Names are cut after this many bytes.
constexpr size_t kNameBytes = 18;
// The number of shades. All cells of one shade are drawn as a single SVG path, so that a cell takes
// only a few bytes.
constexpr int kShades = 10;

std::string Short(const std::string& name) {
  const std::string valid = ValidUtf8(name);
  const absl::string_view start = Utf8Start(valid, kNameBytes);
  return EscapeHtml(start.size() == valid.size() ? valid : absl::StrCat(start, "…"));
}

// Returns the SVG paths of all cells, with the side of a cell as the unit of length.
std::string Cells(absl::Span<const int64_t> matrix, size_t classes) {
  std::array<std::array<std::string, kShades + 1>, 2> paths;
  for (size_t row = 0; row < classes; ++row) {
    const absl::Span<const int64_t> counts = matrix.subspan(row * classes, classes);
    const auto sum = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    for (size_t column = 0; column < classes; ++column) {
      if (counts[column] <= 0) continue;
      // Every count above 0 gets at least the lightest shade, so that it is visible.
      const double share = static_cast<double>(counts[column]) / sum;
      const int shade = std::clamp(static_cast<int>(std::ceil(share * kShades)), 1, kShades);
      absl::StrAppend(&paths[row == column ? 0 : 1][shade], "M", column, " ", row, "h1v1h-1z");
    }
  }
  std::string cells;
  for (size_t kind = 0; kind < paths.size(); ++kind) {
    for (int shade = 1; shade <= kShades; ++shade) {
      if (paths[kind][shade].empty()) continue;
      absl::StrAppendFormat(&cells, "<path class=\"%s\" fill-opacity=\"%g\" d=\"%s\"/>",
                            kind == 0 ? "right" : "wrong", static_cast<double>(shade) / kShades,
                            paths[kind][shade]);
    }
  }
  return cells;
}

}  // namespace

std::string ConfusionSvg(absl::Span<const int64_t> matrix, const std::vector<std::string>& names) {
  const size_t classes = names.size();
  const double cell =
      std::min(kMostCell, kMostSide / static_cast<double>(std::max<size_t>(classes, 1)));
  const double side = cell * static_cast<double>(classes);
  const bool named = classes <= kMostNames;
  size_t letters = 4;
  for (const std::string& name : names) {
    if (named) letters = std::max(letters, std::min(name.size(), kNameBytes + 1));
  }
  const double left = kLetter * static_cast<double>(letters), top = left + kTitleSpace;
  std::string svg = absl::StrFormat(
      "<svg viewBox=\"0 0 %g %g\" style=\"max-width:%gpx\" role=\"img\" "
      "aria-label=\"Confusion matrix\"><text y=\"14\">columns: taken for; rows: the class</text>"
      "<g transform=\"translate(%g %g) scale(%.6g)\">%s</g>",
      std::max(left + side + 2, kTitleWidth), top + side + 2,
      std::max(left + side + 2, kTitleWidth), left, top, cell, Cells(matrix, classes));
  // If there are too many classes for names, every tenth class is labelled with its number.
  for (size_t i = 0; i < classes; i += named ? 1 : 10) {
    const double at = (static_cast<double>(i) + 0.5) * cell + 4;
    const std::string label = named ? Short(names[i]) : absl::StrCat(i);
    absl::StrAppendFormat(&svg,
                          "<text text-anchor=\"end\" x=\"%g\" y=\"%.1f\">%s</text>"
                          "<text transform=\"translate(%.1f %g) rotate(-90)\">%s</text>",
                          left - 6, top + at, label, left + at, top - 6, label);
  }
  for (size_t i = 0; classes <= kMostCounts && i < classes * classes; ++i) {
    if (matrix[i] == 0) continue;
    absl::StrAppendFormat(
        &svg, "<text class=\"count\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%d</text>",
        left + (static_cast<double>(i % classes) + 0.5) * cell,
        top + (static_cast<double>(i / classes) + 0.5) * cell + 4, matrix[i]);
  }
  absl::StrAppendFormat(&svg, "<path class=\"axis\" d=\"M%g %gh%gv%gh%gz\"/></svg>", left, top,
                        side, side, -side);
  return svg;
}

}  // namespace finetune
