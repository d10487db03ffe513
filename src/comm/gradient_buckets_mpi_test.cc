// Runs under mpirun with any number of ranks.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/comm/gradient_buckets.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

class BucketsOverMpiTest : public testing::TestWithParam<MpiConfig::Algorithm> {};

TEST_P(BucketsOverMpiTest, GradientsAreThePlainSumOverRanks) {
  CommConfig config;
  config.mutable_mpi()->set_algorithm(GetParam());
  config.set_timeout_seconds(60);
  config.set_first_bucket_mebibytes(0.01);
  config.set_bucket_mebibytes(0.1);
  auto comm = MpiCommunicator::Create(TestSession(), config, {});
  ASSERT_TRUE(comm.ok()) << comm.status();
  const int size = (*comm)->size();
  const int rank = (*comm)->rank();
  TensorList parameters;
  for (int i = 0; i < 12; ++i) {
    parameters.push_back(
        {absl::StrCat("p", i), at::rand({10 + i * 7, 3, 5 * i + 1}).requires_grad_()});
  }
  auto buckets = GradientBuckets::Create(parameters, config, comm->get());
  ASSERT_TRUE(buckets.ok()) << buckets.status();
  EXPECT_GT((*buckets)->bucket_count(), 2);
  for (int iteration = 0; iteration < 5; ++iteration) {
    (*buckets)->Zero();
    for (int micro = 0; micro < 2; ++micro) {
      (*buckets)->BeginBackward(micro == 1);
      at::Tensor loss = at::zeros({});
      for (int i = 0; i < 12; ++i) {
        // Each rank computes no gradient for one parameter. Which parameter that is depends on the
        // rank and the iteration.
        if (i == (rank + iteration) % 12) continue;
        loss =
            loss + (parameters[i].tensor * static_cast<double>(rank + i + iteration + micro)).sum();
      }
      loss.backward();
    }
    ASSERT_TRUE((*buckets)->Finish().ok());
    for (int i = 0; i < 12; ++i) {
      float want = 0;
      for (int r = 0; r < size; ++r) {
        if (i != (r + iteration) % 12) want += static_cast<float>(2 * (r + i + iteration) + 1);
      }
      const at::Tensor& gradient = parameters[i].tensor.grad();
      EXPECT_TRUE(gradient.equal(at::full(gradient.sizes(), want)))
          << i << " in iteration " << iteration;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, BucketsOverMpiTest,
                         testing::Values(MpiConfig::AUTO, MpiConfig::RING),
                         [](const auto& info) { return MpiConfig::Algorithm_Name(info.param); });

}  // namespace
}  // namespace finetune
