// Tests sync_batch_norm together with the all-reduces of gradients that start in the same backward
// pass. Runs under mpirun with any number of ranks.
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "src/comm/gradient_buckets.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "src/model/loss.h"
#include "src/model/testing.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

constexpr char kModel[] =
    "backbone { resnet { depth: 18 base_channels: 4 stem: CIFAR } } head { num_classes: 3 }";

TEST(SyncBatchNormOnRanks, SumsInOneOrderWithTheGradientsAndTrainsAsOneRankDoes) {
  CommConfig config;
  config.set_timeout_seconds(60);
  config.set_first_bucket_mebibytes(0.001);
  config.set_bucket_mebibytes(0.02);
  absl::Mutex mutex;
  std::vector<int64_t> bytes;
  CommObserver observer;
  observer.event = [&](const CollectiveEvent& event) {
    if (std::string(event.name) != "all-reduce") return;
    absl::MutexLock lock(&mutex);
    bytes.push_back(event.bytes);
  };
  absl::StatusOr<std::unique_ptr<MpiCommunicator>> made =
      MpiCommunicator::Create(TestSession(), config, observer);
  ASSERT_TRUE(made.ok()) << made.status();
  Communicator& comm = **made;
  // The batch has one image fewer than there are ranks, so rank 0 has none.
  const int64_t batch = comm.size() - 1;
  const at::Tensor images = ByFormula("images", {batch, 3, 16, 16});
  const at::Tensor labels = ByFormula("labels", {batch}, 1.5, 1.5).to(at::kLong);

  ClassifierOptions options;
  options.mode.sum_over_ranks = [&](const at::Tensor& values) -> absl::Status {
    FT_ASSIGN_OR_RETURN(std::unique_ptr<Communicator::Work> work, comm.AllReduceSum(values));
    return work->Wait();
  };
  const std::unique_ptr<Classifier> model = MakeModel(kModel, options);
  auto buckets = GradientBuckets::Create(model->parameters(), config, &comm);
  ASSERT_TRUE(buckets.ok()) << buckets.status();
  ASSERT_GT((*buckets)->bucket_count(), 5);
  const int64_t begin = batch * comm.rank() / comm.size();
  const int64_t count = batch * (comm.rank() + 1) / comm.size() - begin;
  ASSERT_EQ(count, comm.rank() == 0 ? 0 : 1);
  (*buckets)->Zero();
  const at::Tensor loss = CrossEntropySum(model->Forward(images.narrow(0, begin, count), kTraining),
                                          labels.narrow(0, begin, count), /*label_smoothing=*/0.1);
  const size_t forward = [&] {
    absl::MutexLock lock(&mutex);
    return bytes.size();
  }();
  EXPECT_EQ(forward, 20u);  // batch norms of a ResNet-18
  (*buckets)->BeginBackward(/*communicate=*/true);
  loss.backward();
  ASSERT_TRUE((*buckets)->Finish().ok());

  // The sizes of this rank's all-reduces, in the order in which they started.
  std::string order;
  size_t total = 0;
  {
    absl::MutexLock lock(&mutex);
    for (const int64_t size : bytes) absl::StrAppend(&order, size, " ");
    total = bytes.size();
  }
  EXPECT_EQ(total, 2 * forward + (*buckets)->bucket_count());
  const auto orders = comm.AllGather(order);
  ASSERT_TRUE(orders.ok()) << orders.status();
  for (const std::string& other : *orders) EXPECT_EQ(other, order);

  const std::unique_ptr<Classifier> whole = MakeModel(kModel);
  CrossEntropySum(whole->Forward(images, kTraining), labels, /*label_smoothing=*/0.1).backward();
  for (const NamedTensor& parameter : whole->parameters()) {
    EXPECT_LT(RelativeError(Named(*model, parameter.name).grad(), parameter.tensor.grad()), 1e-4)
        << parameter.name;
  }
  for (const NamedTensor& buffer : whole->buffers()) {
    EXPECT_LT(RelativeError(Named(*model, buffer.name), buffer.tensor), 1e-5) << buffer.name;
  }
}

}  // namespace
}  // namespace finetune
