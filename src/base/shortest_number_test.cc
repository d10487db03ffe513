#include "src/base/shortest_number.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(ShortestNumber, HasNoMoreDigitsThanTheNumberNeeds) {
  EXPECT_EQ(ShortestNumber(2.0 / 3), "0.6666666666666666");
  EXPECT_EQ(ShortestNumber(0.1), "0.1");
  EXPECT_EQ(ShortestNumber(0.1f), "0.1");
  EXPECT_EQ(ShortestNumber(1.3333333f), "1.3333333");
  EXPECT_EQ(ShortestNumber(1e-8), "1e-08");
  EXPECT_EQ(ShortestNumber(100000.0), "100000");
  EXPECT_EQ(ShortestNumber(-0.5), "-0.5");
  EXPECT_EQ(ShortestNumber(0.0), "0");
  EXPECT_EQ(ShortestNumber(-std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(ShortestNumber(std::numeric_limits<float>::infinity()), "inf");
  EXPECT_EQ(ShortestNumber(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(ShortestNumber, ReadsBackAsTheSameNumber) {
  uint64_t state = 1;
  for (int i = 0; i < 10000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    double value = 0;
    std::memcpy(&value, &state, sizeof(value));
    if (value != value) continue;
    EXPECT_EQ(std::strtod(ShortestNumber(value).c_str(), nullptr), value);
    const auto single = static_cast<float>(i * 0.37);
    EXPECT_EQ(std::strtof(ShortestNumber(single).c_str(), nullptr), single);
  }
}

}  // namespace
}  // namespace finetune
