#include "src/optim/gradient_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <vector>

#include "gtest/gtest.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

TEST(GradientNormTest, IsL2NormOfAllElements) {
  EXPECT_DOUBLE_EQ(GradientNorm(at::tensor(std::vector<float>{3, -4}).to(TestDevice())), 5.0);
  EXPECT_DOUBLE_EQ(GradientNorm(at::full({160000}, 0.5f, TestDevice())), 200.0);
}

}  // namespace
}  // namespace finetune
