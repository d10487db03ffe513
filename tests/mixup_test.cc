// Tests training with mixed images (mixup) on several ranks. Runs under mpirun.
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

constexpr char kMixup[] = "data.train.batch_transform={mixup {alpha: 1}}";

class MixupRunTest : public testing::Test {
 protected:
  void SetUp() override {
    auto comm = CreateCommunicator(TestSession(), CommConfig(), RuntimeConfig::CPU, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    comm_ = *std::move(comm);
    // A batch of 18 gives each of two ranks 9 images, so one pair of mixed images belongs to both
    // ranks.
    folder_ = MakeSharedSmallRun({.images = 36, .batch = 18, .epochs = 4}, comm_.get());
  }
  void TearDown() override { ASSERT_TRUE(comm_->Barrier().ok()); }

  std::unique_ptr<Communicator> comm_;
  std::string folder_;
};

// Returns the tensors without the running statistics of batch norms, which each rank takes from its
// own images.
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

// One rank with two micro-batches computes the same sums as two ranks.
TEST_F(MixupRunTest, TrainsToTheSameBitsOnOneRankAndTwo) {
  const TensorList on_two = TrainSmallRun(folder_, "two", {kMixup}, comm_.get());
  if (comm_->rank() != 0) return;
  SingleCommunicator alone;
  const std::string passes = "data.train.micro_batch_size=9";
  const TensorList on_one = TrainSmallRun(folder_, "one", {kMixup, passes}, &alone);
  ExpectSameBits(Trained(on_one), Trained(on_two));
  const TensorList plain = TrainSmallRun(folder_, "plain", {passes}, &alone);
  EXPECT_FALSE(HeadOf(plain).equal(HeadOf(on_one))) << "mixing has done nothing";
}

TEST_F(MixupRunTest, ResumesBitForBit) {
  const TensorList whole = TrainSmallRun(folder_, "whole", {kMixup}, comm_.get());
  // The first part stops in the middle of the second epoch.
  TrainSmallRun(folder_, "parts", {kMixup}, comm_.get(), {.iterations = 3});
  const TensorList parts =
      TrainSmallRun(folder_, "parts", {kMixup}, comm_.get(), {.resume = "auto"});
  ASSERT_EQ(parts.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_TRUE(parts[i].tensor.equal(whole[i].tensor)) << whole[i].name;
  }
}

}  // namespace
}  // namespace finetune
