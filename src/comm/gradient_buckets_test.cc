#include "src/comm/gradient_buckets.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/comm/single_communicator.h"

namespace finetune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Imitates a job of two ranks that have the same data: Wait() doubles the tensor.
class Twin : public SingleCommunicator {
 public:
  Twin() { world_.size = 2; }
  const World& world() const override { return world_; }
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override {
    if (!failure.ok()) return failure;
    started.push_back(tensor.numel());
    wires.push_back(wire);
    return std::make_unique<Doubling>(tensor);
  }

  std::vector<int64_t> started;
  std::vector<Wire> wires;
  absl::Status failure;

 private:
  class Doubling : public Work {
   public:
    explicit Doubling(at::Tensor tensor) : tensor_(std::move(tensor)) {}
    absl::Status Wait() override {
      tensor_.mul_(2);
      return absl::OkStatus();
    }

   private:
    at::Tensor tensor_;
  };
  World world_;
};

NamedTensor Parameter(std::string name, at::IntArrayRef shape) {
  return {std::move(name), at::rand(shape).requires_grad_()};
}

// Returns five parameters of 1024 elements (4 KiB) each. With the tests' settings the four buckets
// hold one, two, one and one of them.
TensorList FiveParameters() {
  TensorList parameters;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    parameters.push_back(Parameter(name, {32, 32}));
  }
  return parameters;
}
CommConfig SmallBuckets() {
  CommConfig config;
  config.set_first_bucket_mebibytes(4.0 / 1024);
  config.set_bucket_mebibytes(8.0 / 1024);
  return config;
}

std::unique_ptr<GradientBuckets> Make(const TensorList& parameters, Communicator& comm,
                                      const CommConfig& config = SmallBuckets()) {
  auto buckets = GradientBuckets::Create(parameters, config, &comm);
  EXPECT_TRUE(buckets.ok()) << buckets.status();
  return *std::move(buckets);
}

// Tests the buckets of FiveParameters() with the communicator Twin.
class FiveParametersTest : public testing::Test {
 protected:
  // Begins an iteration of one micro-batch.
  void Begin() {
    buckets_->Zero();
    buckets_->BeginBackward(/*communicate=*/true);
  }

  TensorList parameters_ = FiveParameters();
  Twin comm_;
  std::unique_ptr<GradientBuckets> buckets_ = Make(parameters_, comm_);
};

TEST(GradientBucketsTest, ParametersLieFlatInReverseOrderAndKeepTheirValues) {
  TensorList parameters = {Parameter("first", {3, 5}), Parameter("second", {20})};
  const at::Tensor first = parameters[0].tensor.detach().clone();
  Twin comm;
  auto buckets = Make(parameters, comm);
  ASSERT_EQ(buckets->entries().size(), 2u);
  EXPECT_EQ(buckets->entries()[0].name, "second");
  EXPECT_EQ(buckets->entries()[0].offset, 0);
  EXPECT_EQ(buckets->entries()[0].count, 20);
  EXPECT_EQ(buckets->entries()[1].name, "first");
  EXPECT_EQ(buckets->entries()[1].offset, 32);
  EXPECT_EQ(buckets->entries()[1].count, 15);
  EXPECT_EQ(buckets->values().sizes(), buckets->gradients().sizes());
  EXPECT_TRUE(parameters[0].tensor.equal(first));
  // The parameter is a view of values(), so it changes with them.
  buckets->values().add_(1);
  EXPECT_TRUE(parameters[0].tensor.equal(first + 1));
}

TEST(GradientBucketsTest, ChannelsLastStaysChannelsLast) {
  at::Tensor weight =
      at::rand({8, 4, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
  const at::Tensor before = weight.detach().clone();
  Twin comm;
  auto buckets = Make({{"conv", weight}}, comm);
  EXPECT_TRUE(weight.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(weight.equal(before));
  buckets->Zero();
  buckets->BeginBackward(true);
  at::conv2d(at::ones({1, 4, 5, 5}), weight).sum().backward();
  ASSERT_TRUE(buckets->Finish().ok());
  EXPECT_EQ(weight.grad().strides(), weight.strides());
  EXPECT_TRUE(weight.grad().equal(at::full({8, 4, 3, 3}, 18.f)));
}

TEST_F(FiveParametersTest, BackwardStartsEveryBucketAndFinishHoldsTheSum) {
  EXPECT_EQ(buckets_->bucket_count(), 4);
  for (int iteration = 1; iteration <= 3; ++iteration) {
    comm_.started.clear();
    Begin();
    at::Tensor loss = at::zeros({});
    for (size_t i = 0; i < parameters_.size(); ++i) {
      loss = loss + (parameters_[i].tensor * static_cast<double>(iteration * (i + 1))).sum();
    }
    loss.backward();
    EXPECT_THAT(comm_.started, ElementsAre(1024, 2048, 1024, 1024));
    ASSERT_TRUE(buckets_->Finish().ok());
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& gradient = parameters_[i].tensor.grad();
      EXPECT_TRUE(gradient.equal(at::full({32, 32}, 2.f * iteration * (i + 1))));
      EXPECT_EQ(gradient.data_ptr<float>(),
                buckets_->gradients().data_ptr<float>() + (4 - i) * 1024);
    }
  }
}

TEST_F(FiveParametersTest, ABucketStartsWhenItsLastGradientIsThereAndInOrder) {
  Begin();
  const auto give = [&](int64_t index) {
    buckets_->gradient(index).fill_(1);
    buckets_->MarkReady(index);
  };
  give(3);
  give(2);
  // The second bucket is complete, but its all-reduce must not start before that of the first
  // bucket, because another rank may complete the buckets in another order.
  EXPECT_THAT(comm_.started, ElementsAre());
  give(4);
  EXPECT_THAT(comm_.started, ElementsAre(1024, 2048));
  give(0);
  EXPECT_THAT(comm_.started, ElementsAre(1024, 2048));
  give(1);
  EXPECT_THAT(comm_.started, ElementsAre(1024, 2048, 1024, 1024));
  ASSERT_TRUE(buckets_->Finish().ok());
  EXPECT_TRUE(buckets_->gradients().equal(at::full({int64_t{5} * 1024}, 2.f)));
}

TEST_F(FiveParametersTest, OnlyTheLastMicroBatchCommunicates) {
  buckets_->Zero();
  for (int micro = 1; micro <= 3; ++micro) {
    buckets_->BeginBackward(micro == 3);
    at::Tensor loss = at::zeros({});
    for (auto& parameter : parameters_) {
      loss = loss + (parameter.tensor * static_cast<double>(micro)).sum();
    }
    loss.backward();
    EXPECT_EQ(comm_.started.empty(), micro < 3);
  }
  ASSERT_TRUE(buckets_->Finish().ok());
  EXPECT_EQ(comm_.started.size(), 4u);
  EXPECT_TRUE(buckets_->gradients().equal(at::full({int64_t{5} * 1024}, 12.f)));
}

TEST_F(FiveParametersTest, UnusedParametersHaveZeroAndOthersKeepEarlierMicroBatches) {
  buckets_->gradients().fill_(77);
  buckets_->Zero();
  buckets_->BeginBackward(false);
  parameters_[1].tensor.sum().backward();
  buckets_->BeginBackward(true);
  parameters_[4].tensor.sum().backward();
  ASSERT_TRUE(buckets_->Finish().ok());
  EXPECT_EQ(comm_.started.size(), 4u);
  const float want[] = {0, 2, 0, 0, 2};
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(parameters_[i].tensor.grad().equal(at::full({32, 32}, want[i]))) << i;
  }
}

TEST_F(FiveParametersTest, ARankWithoutImagesTakesPart) {
  buckets_->gradients().fill_(77);
  Begin();
  ASSERT_TRUE(buckets_->Finish().ok());
  EXPECT_EQ(comm_.started.size(), 4u);
  EXPECT_TRUE(buckets_->gradients().equal(at::zeros({int64_t{5} * 1024})));
}

TEST(GradientBucketsTest, OneRankCommunicatesNothing) {
  TensorList parameters = FiveParameters();
  SingleCommunicator comm;
  auto buckets = Make(parameters, comm);
  buckets->Zero();
  buckets->BeginBackward(true);
  parameters[2].tensor.sum().backward();
  ASSERT_TRUE(buckets->Finish().ok());
  EXPECT_EQ(buckets->gradients().sum().item<float>(), 1024);
}

TEST(GradientBucketsTest, CompressionIsTheWireOfEveryBucket) {
  TensorList parameters = FiveParameters();
  for (auto [compression, wire] :
       {std::pair(CommConfig::NONE, Wire::kFloat32), std::pair(CommConfig::BF16, Wire::kBFloat16),
        std::pair(CommConfig::FP16, Wire::kFloat16)}) {
    Twin comm;
    CommConfig config = SmallBuckets();
    config.set_compression(compression);
    auto buckets = Make(parameters, comm, config);
    buckets->Zero();
    buckets->BeginBackward(true);
    ASSERT_TRUE(buckets->Finish().ok());
    EXPECT_THAT(comm.wires, ElementsAre(wire, wire, wire, wire));
  }
}

TEST_F(FiveParametersTest, AFailedAllReduceIsFinishsError) {
  comm_.failure = absl::UnavailableError("cable pulled");
  Begin();
  parameters_[4].tensor.sum().backward();
  EXPECT_EQ(buckets_->Finish(), comm_.failure);
}

TEST_F(FiveParametersTest, ASecondBackwardWithoutBeginBackwardIsAnError) {
  Begin();
  parameters_[4].tensor.sum().backward();
  parameters_[4].tensor.sum().backward();
  const absl::Status status = buckets_->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("e got its gradient twice"));
}

TEST(GradientBucketsTest, ParametersOutliveTheirBuckets) {
  TensorList parameters = FiveParameters();
  Twin comm;
  Make(parameters, comm).reset();
  parameters[0].tensor.mutable_grad() = at::Tensor();
  parameters[0].tensor.sum().backward();
  EXPECT_EQ(parameters[0].tensor.grad().sum().item<float>(), 1024);
}

TEST(GradientBucketsTest, WrongParametersAreNamed) {
  SingleCommunicator comm;
  const auto message = [&](const TensorList& parameters) {
    auto buckets = GradientBuckets::Create(parameters, CommConfig(), &comm);
    EXPECT_EQ(buckets.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(buckets.status().message());
  };
  NamedTensor good = Parameter("good", {4});
  EXPECT_THAT(message({}), HasSubstr("no parameter is trained"));
  EXPECT_THAT(message({good, good}), HasSubstr("good is listed twice"));
  EXPECT_THAT(message({good, {"frozen", at::rand({3})}}),
              HasSubstr("frozen is not a leaf that requires a gradient"));
  EXPECT_THAT(message({good, {"double", at::rand({3}, at::kDouble).requires_grad_()}}),
              HasSubstr("double is not float32"));
  EXPECT_THAT(message({good, {"sliced", at::rand({4, 4}).slice(1, 0, 2).requires_grad_()}}),
              HasSubstr("sliced is not dense"));
}

}  // namespace
}  // namespace finetune
