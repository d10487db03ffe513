#include "src/base/bfloat16.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(Bfloat16Test, KeepsEveryBfloat16) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = FromBfloat16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(FromBfloat16(ToBfloat16(value)))) << bits;
    } else {
      EXPECT_EQ(ToBfloat16(value), bits);
    }
  }
}

TEST(Bfloat16Test, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(FromBfloat16(ToBfloat16(1 + 0x1p-8F)), 1);               // halfway, to even
  EXPECT_EQ(FromBfloat16(ToBfloat16(1 + 0x1.8p-7F)), 1 + 0x1p-6F);   // halfway, to even
  EXPECT_EQ(FromBfloat16(ToBfloat16(1 + 0x1.02p-8F)), 1 + 0x1p-7F);  // above halfway
  EXPECT_EQ(FromBfloat16(ToBfloat16(-1 - 0x1.fep-9F)), -1);          // below halfway
  EXPECT_EQ(FromBfloat16(ToBfloat16(std::numeric_limits<float>::max())), HUGE_VALF);
}

// The first NaN's mantissa bits are all in the lower half, which bfloat16 drops. The second NaN's
// bits would overflow when rounded up.
TEST(Bfloat16Test, KeepsNanWhoseBitsWouldRoundToInfinity) {
  EXPECT_TRUE(std::isnan(FromBfloat16(ToBfloat16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(FromBfloat16(ToBfloat16(std::bit_cast<float>(0xffffffffU)))));
}

}  // namespace
}  // namespace finetune
