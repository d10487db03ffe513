#include "src/observe/chart.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Ticks, AreRoundAndSpanTheRange) {
  EXPECT_THAT(Ticks(0, 96, 5), ElementsAre(0, 20, 40, 60, 80, 100));
  EXPECT_THAT(Ticks(0.1, 0.3, 5),
              ElementsAre(DoubleNear(0.1, 1e-12), DoubleNear(0.15, 1e-12), DoubleNear(0.2, 1e-12),
                          DoubleNear(0.25, 1e-12), DoubleNear(0.3, 1e-12)));
  EXPECT_THAT(Ticks(-3, 4, 2), ElementsAre(-5, 0, 5));
}

TEST(Ticks, AreFewWhateverTheRange) {
  for (const double low : {-1e99, -1.0, 0.0, 1e-320, 3.0, 1e16, 1e99}) {
    for (const double size : {0.0, 1e-320, 1e-12, 1.0, 1e16, 1e99}) {
      const std::vector<double> ticks = Ticks(low, low + size, 5);
      ASSERT_GE(ticks.size(), 2u) << low << " " << size;
      ASSERT_LE(ticks.size(), 8u) << low << " " << size;
      EXPECT_LT(ticks.front(), ticks.back());
      const double tolerance = 1e-6 * (ticks[1] - ticks[0]);
      EXPECT_LE(ticks.front(), low + tolerance);
      EXPECT_GE(ticks.back(), low + size - tolerance);
    }
  }
}

TEST(Chart, DrawsOneLineThroughItsPoints) {
  const std::string svg =
      ToSvg({"Loss", "iteration", {{"training", {{0, 0}, {50, 5}, {100, 10}}}}});
  // The points are the lower left corner of the area between the axes, its centre, and its upper
  // right corner.
  EXPECT_THAT(svg, HasSubstr("<path class=\"line1\" d=\"M56.0 220.0L301.0 127.0L546.0 34.0\"/>"));
  EXPECT_THAT(svg, Not(HasSubstr("<circle")));
}

TEST(Chart, LeavesGapsWhereValuesAreNotFinite) {
  const std::string svg = ToSvg({"Loss",
                                 "iteration",
                                 {{"training",
                                   {{0, 1},
                                    {10, 2},
                                    {20, std::nan("")},
                                    {30, 3},
                                    {40, kInfinity},
                                    {50, -kInfinity},
                                    {60, 4},
                                    {70, 5}}}}});
  const size_t line = svg.find("<path class=\"line1\"");
  ASSERT_NE(line, std::string::npos);
  const std::string path = svg.substr(line, svg.find("/>", line) - line);
  EXPECT_EQ(Count(path, "M"), 3u);
  EXPECT_EQ(Count(path, "L"), 2u);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  // The single point between two gaps is drawn as a dot.
  EXPECT_EQ(Count(svg, "<circle"), 1u);
}

TEST(Chart, DrawsEachPowerOfTenAtTheSameDistance) {
  Chart chart{"Loss", "learning rate", {{"training", {{1e-4, 0}, {1e-2, 5}, {1, 10}}}}};
  chart.x_is_log = true;
  const std::string svg = ToSvg(chart);
  EXPECT_THAT(svg, HasSubstr("<path class=\"line1\" d=\"M56.0 220.0L301.0 127.0L546.0 34.0\"/>"));
  EXPECT_THAT(svg, HasSubstr("x=\"301.0\" y=\"236\">1e-2</text>"));
}

TEST(Chart, SaysThatThereIsNothing) {
  EXPECT_THAT(ToSvg({"Loss", "iteration", {}}), HasSubstr("no values"));
  EXPECT_THAT(ToSvg({"Loss", "iteration", {{"a", {{1, std::nan("")}}}}}), HasSubstr("no values"));
}

TEST(Chart, ShowsASinglePoint) {
  const std::string svg = ToSvg({"Loss", "iteration", {{"training", {{8, 2.5}}}}});
  EXPECT_EQ(Count(svg, "<circle"), 1u);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Chart, KeepsTheExtremesOfManyPointsAndStaysSmall) {
  Series series{"training", {}};
  for (int i = 0; i < 1000000; ++i) series.points.emplace_back(i, i % 2);
  series.points[777777].second = 4;
  const std::string svg = ToSvg({"Loss", "iteration", {series}});
  EXPECT_LT(svg.size(), size_t{64} << 10);
  // The line still contains the largest value, at y = 34.
  EXPECT_THAT(svg, testing::ContainsRegex("L[0-9.]+ 34\\.0"));
}

TEST(Html, IsEscaped) {
  EXPECT_EQ(EscapeHtml("<a href=\"x\">&'b'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;b&#39;");
  const std::string svg =
      ToSvg({"<t>", "<x>", {{"<a>", {{0, 0}, {1, 1}}}, {"<b>", {{0, 1}, {1, 0}}}}});
  for (const char* raw : {"<t>", "<x>", "<a>", "<b>"}) EXPECT_THAT(svg, Not(HasSubstr(raw)));
  EXPECT_THAT(svg, HasSubstr("&lt;a&gt;"));
}

}  // namespace
}  // namespace finetune
