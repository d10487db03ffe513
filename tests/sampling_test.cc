// Runs under mpirun. Tests training on several ranks with classes of different sizes: with class
// weights, with class-balanced epochs and with repeated images.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "src/comm/create_communicator.h"
#include "src/comm/single_communicator.h"
#include "src/tensor/named_tensor.h"
#include "tests/mpi_main.h"
#include "tests/same_bits.h"
#include "tests/small_run.h"

namespace finetune {
namespace {

constexpr char kBalancedWeights[] = "model.head.class_weights={rule: BALANCED}";
constexpr char kGivenWeights[] = "model.head.class_weights={weight: [0.5, 1, 4]}";
constexpr char kSmoothing[] = "model.head.label_smoothing=0.1";
constexpr char kBalancedSampling[] = "data.train.sampling=CLASS_BALANCED";
constexpr char kRepeated[] = "data.train.repeated_augmentation=3";

class SamplingRunTest : public testing::TestWithParam<std::vector<std::string>> {
 protected:
  void SetUp() override {
    auto comm = CreateCommunicator(TestSession(), CommConfig(), RuntimeConfig::CPU, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    comm_ = *std::move(comm);
    folder_ = MakeSharedSmallRun({.images = 36, .batch = 18, .has_small_class = true}, comm_.get());
  }
  void TearDown() override { ASSERT_TRUE(comm_->Barrier().ok()); }

  std::unique_ptr<Communicator> comm_;
  std::string folder_;
};

// Returns the tensors without the running statistics of batch norms. Each rank computes these from
// its own images, so they depend on the number of ranks.
TensorList Trained(TensorList tensors) {
  std::erase_if(tensors, [](const NamedTensor& tensor) {
    return absl::StrContains(tensor.name, "running_") ||
           absl::StrContains(tensor.name, "num_batches");
  });
  EXPECT_GT(tensors.size(), 50);
  return tensors;
}

at::Tensor HeadOf(const TensorList& tensors) {
  const auto head = std::find_if(tensors.begin(), tensors.end(), [](const NamedTensor& tensor) {
    return tensor.name == "head.fc.weight";
  });
  EXPECT_NE(head, tensors.end());
  return head->tensor;
}

// One rank with two micro-batches adds the same numbers in the same order as two ranks.
TEST_P(SamplingRunTest, TrainsToTheSameBitsOnOneRankAndTwo) {
  const TensorList on_two = TrainSmallRun(folder_, "two", GetParam(), comm_.get());
  if (comm_->rank() != 0) return;
  SingleCommunicator alone;
  std::vector<std::string> in_passes = GetParam();
  in_passes.emplace_back("data.train.micro_batch_size=9");
  const TensorList on_one = TrainSmallRun(folder_, "one", in_passes, &alone);
  ExpectSameBits(Trained(on_one), Trained(on_two));
  const TensorList plain =
      TrainSmallRun(folder_, "plain", {"data.train.micro_batch_size=9"}, &alone);
  EXPECT_FALSE(HeadOf(plain).equal(HeadOf(on_one))) << "the settings have done nothing";
}

TEST_P(SamplingRunTest, ResumesBitForBit) {
  const TensorList whole = TrainSmallRun(folder_, "whole", GetParam(), comm_.get());
  // The first run stops in the middle of the second epoch.
  TrainSmallRun(folder_, "parts", GetParam(), comm_.get(), {.iterations = 3});
  const TensorList parts =
      TrainSmallRun(folder_, "parts", GetParam(), comm_.get(), {.resume = "auto"});
  ASSERT_EQ(parts.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_TRUE(parts[i].tensor.equal(whole[i].tensor)) << whole[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, SamplingRunTest,
                         testing::Values(std::vector<std::string>{kBalancedWeights},
                                         std::vector<std::string>{kGivenWeights, kSmoothing},
                                         std::vector<std::string>{kBalancedSampling},
                                         std::vector<std::string>{kRepeated},
                                         std::vector<std::string>{kBalancedSampling, kRepeated,
                                                                  kGivenWeights}));

}  // namespace
}  // namespace finetune
