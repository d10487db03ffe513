#include "src/comm/wire.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(ChunkOfTest, ChunksCoverAllElementsOnceAndInOrder) {
  for (int64_t n : {0, 1, 15, 16, 17, 31, 100, 1000, 4097}) {
    for (int size = 1; size <= 9; ++size) {
      int64_t end = 0;
      for (int c = 0; c < size; ++c) {
        const Chunk chunk = ChunkOf(n, size, c);
        EXPECT_EQ(chunk.begin, end) << n << " over " << size;
        EXPECT_GE(chunk.size(), 0);
        end = chunk.end;
      }
      EXPECT_EQ(end, n) << n << " over " << size;
    }
  }
}

// Rounds `value` to a floating-point format by double arithmetic, as a reference. The format has
// `bits` explicit fraction bits, the least exponent `min_exponent` and the largest finite value
// `limit`.
float Nearest(float value, int bits, int min_exponent, double limit) {
  if (!std::isfinite(value) || value == 0) return value;
  int exponent;
  std::frexp(value, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - 1, min_exponent) - bits);
  const double rounded = std::nearbyint(value / unit) * unit;
  if (std::abs(rounded) > limit) return std::copysign(HUGE_VALF, value);
  return static_cast<float>(rounded);
}

void ExpectRounding(Wire wire, int bits, int min_exponent, double limit) {
  std::mt19937 random(1);
  std::vector<float> values = {0.f,        -0.f,         1.f,      65504.f, 65519.9f,   65520.f,
                               -65536.f,   6e-8f,        2.9e-8f,  3.0e-8f, 6.1035e-5f, 6.09756e-5f,
                               3.4e38f,    1e-40f,       2048.5f,  2049.5f, 1e-7f,      -5.96e-8f,
                               1.00048828, 1.001464844f, HUGE_VALF};
  for (int i = 0; i < 20000; ++i) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  }
  std::vector<uint16_t> packed(values.size());
  std::vector<float> unpacked(values.size());
  // The vectorized code (eight numbers at a time) and the scalar code for the rest must round in
  // the same way, at every alignment.
  for (size_t offset = 0; offset < 9; ++offset) {
    const int64_t n = static_cast<int64_t>(values.size() - offset);
    Pack(values.data() + offset, n, wire, packed.data());
    Unpack(packed.data(), n, wire, unpacked.data());
    std::vector<float> sum(n, 1.f);
    AccumulatePacked(packed.data(), n, wire, sum.data());
    for (int64_t i = 0; i < n; ++i) {
      const float value = values[i + offset];
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(unpacked[i])) << value;
        continue;
      }
      const float want = Nearest(value, bits, min_exponent, limit);
      ASSERT_EQ(std::bit_cast<uint32_t>(unpacked[i]), std::bit_cast<uint32_t>(want)) << value;
      ASSERT_EQ(sum[i], 1.f + want);
    }
  }
}

TEST(WireTest, Float16RoundsToNearestEven) { ExpectRounding(Wire::kFloat16, 10, -14, 65504.0); }

TEST(WireTest, BFloat16RoundsToNearestEven) {
  ExpectRounding(Wire::kBFloat16, 7, -126, static_cast<double>(std::bit_cast<float>(0x7f7f0000u)));
}

TEST(WireTest, RepackingChangesNothing) {
  for (Wire wire : {Wire::kBFloat16, Wire::kFloat16}) {
    std::vector<uint16_t> all(65536), again(65536);
    for (int i = 0; i < 65536; ++i) all[i] = static_cast<uint16_t>(i);
    std::vector<float> values(65536);
    Unpack(all.data(), 65536, wire, values.data());
    Pack(values.data(), 65536, wire, again.data());
    for (int i = 0; i < 65536; ++i) {
      if (std::isnan(values[i])) continue;
      ASSERT_EQ(all[i], again[i]);
    }
  }
}

}  // namespace
}  // namespace finetune
