// Tests a run that is resumed with a different number of ranks.
#include <ATen/core/Tensor.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/tensor/named_tensor.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using ElasticTest = TrainingTest;

// Batch norm uses the statistics of a rank's own images, so norm_eval turns that off. Then runs on
// any number of ranks compute the same, except for float32's rounding of sums in a different order.
// So equal losses show that the images, their order and their augmentation are the same.
TEST_F(ElasticTest, ARunThatGoesOnWithOtherNumbersOfRanksIsTheSameRun) {
  WriteResNet("norm_eval: true");
  // Without batch statistics a larger learning rate would make the model diverge.
  const std::string gentle = "--set=optimizer.sgd.lr=0.01 ";
  TrainToEnd(1, "whole", gentle);

  TrainToEnd(4, "parts", gentle + "--max_iterations=4");
  EXPECT_THAT(TrainToEnd(2, "parts", gentle + "--max_iterations=9 --resume=auto"),
              AllOf(HasSubstr("at iteration 4"), HasSubstr("16 images an iteration")));
  // Three ranks get unequal parts of 16 images.
  EXPECT_THAT(TrainToEnd(3, "parts", gentle + "--resume=auto"),
              AllOf(HasSubstr("at iteration 9"), HasSubstr("16 images an iteration")));

  const auto expected = Losses("whole"), losses = Losses("parts");
  ASSERT_EQ(expected.size(), 15u);
  ASSERT_EQ(losses.size(), 15u);
  constexpr double kRounding = 1e-5;  // relative to the loss
  for (const auto& [iteration, loss] : expected) {
    EXPECT_NEAR(losses.at(iteration), loss, kRounding * loss) << "iteration " << iteration;
    // Losses of different batches differ by far more than the rounding.
    if (iteration > 1) {
      EXPECT_GT(std::abs(loss - expected.at(iteration - 1)), 10 * kRounding * loss) << iteration;
    }
  }

  for (const bool optimizer : {false, true}) {
    const TensorList a = Tensors("whole/epoch_3.pth", optimizer),
                     b = Tensors("parts/epoch_3.pth", optimizer);
    ASSERT_EQ(a.size(), b.size());
    ASSERT_GT(a.size(), 50u);
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].name, b[i].name);
      // 15 updates amplify the rounding errors of the gradients. A difference of 7e-5 was measured.
      const double largest = a[i].tensor.abs().max().item().toDouble();
      const double difference = a[i].tensor.sub(b[i].tensor).abs().max().item().toDouble();
      EXPECT_LE(difference, 5e-4 * largest) << a[i].name;
    }
  }
}

}  // namespace
}  // namespace finetune
