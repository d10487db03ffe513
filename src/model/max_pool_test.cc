#include "src/model/max_pool.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/randn.h>

#include <limits>

#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;

TEST(MaxPool3x3, IsLibTorchs) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Vectors vectors : {Vectors::kAvx2, Vectors::kAvx512, Vectors::kAvx512Bfloat16}) {
      for (const int64_t height : {1, 2, 7, 16}) {
        for (const int64_t width : {1, 5, 12}) {
          const at::Tensor x = at::randn({3, 48, height, width}).to(type).contiguous(kLayout);
          if (vectors > BestVectors() || !MaxPool3x3Runs(x, vectors)) continue;
          EXPECT_TRUE(MaxPool3x3(x, vectors).equal(at::max_pool2d(x, 3, 2, 1)))
              << type << " " << height << "x" << width;
        }
      }
    }
  }
}

TEST(MaxPool3x3, PassesANanOnToAllWhoMeetIt) {
  at::Tensor x = at::randn({1, 16, 8, 8}).contiguous(kLayout);
  x[0][3][3][3].fill_(std::numeric_limits<float>::quiet_NaN());
  if (!MaxPool3x3Runs(x)) return;
  const at::Tensor y = MaxPool3x3(x);
  EXPECT_TRUE(y.isnan().equal(at::max_pool2d(x, 3, 2, 1).isnan()));
  EXPECT_EQ(y.isnan().sum().item<int64_t>(), 4);
}

TEST(MaxPool3x3, OfNoPicturesIsNone) {
  const at::Tensor x = at::randn({0, 64, 8, 8}).contiguous(kLayout);
  if (!MaxPool3x3Runs(x)) return;
  EXPECT_EQ(MaxPool3x3(x).sizes(), at::IntArrayRef({0, 64, 4, 4}));
}

}  // namespace
}  // namespace finetune
