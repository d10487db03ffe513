// Runs under mpirun: steps that are recorded and launched whole, as on a GPU with
// runtime.cuda_graph, on a CPU that can record as well.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/reader.h"
#include "src/comm/create_communicator.h"
#include "src/comm/replay_communicator.h"
#include "src/config/config.h"
#include "src/data/builder.h"
#include "src/train/step_graph.h"
#include "src/train/train.h"
#include "tests/cpu_graph.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

constexpr int kPictures = 40, kBatch = 16, kEpochs = 4;

absl::Status MakeData(const std::string& folder) {
  DatasetBuilder::Options options;
  options.folder = folder;
  options.class_names = {"a", "b", "c"};
  options.height = options.width = 16;
  options.channels = 3;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
  std::vector<uint8_t> pixels(size_t{16} * 16 * 3);
  for (const char* split : {"train", "test"}) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(split, kPictures));
    for (size_t i = 0; i < kPictures; ++i) {
      for (size_t j = 0; j < pixels.size(); ++j) {
        pixels[j] = static_cast<uint8_t>(i * 61 + j * (7 + i % 3) + j * j * 3);
      }
      FT_RETURN_IF_ERROR(builder.Add(pixels, static_cast<int64_t>(i % 3)));
    }
  }
  return builder.Finish();
}

std::unique_ptr<Communicator> Comm() {
  CommConfig config;
  config.set_timeout_seconds(60);
  // Many, so that their all-reduces begin in the middle of backward.
  config.set_first_bucket_mebibytes(0.001);
  config.set_bucket_mebibytes(0.02);
  auto comm = CreateCommunicator(TestSession(), config, RuntimeConfig::CPU, {});
  EXPECT_TRUE(comm.ok()) << comm.status();
  return *std::move(comm);
}

// Trains and returns the last checkpoint.
TensorList Trained(const std::string& folder, const std::string& name,
                   std::vector<std::string> settings, Communicator* comm) {
  const std::string config = folder + "/config.pbtxt";
  settings.push_back("comm={first_bucket_mebibytes: 0.001 bucket_mebibytes: 0.02}");
  const auto loaded = LoadConfig(config, {.search_path = {}, .overrides = settings});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  TrainOptions options;
  options.work_dir = absl::StrCat(folder, "/", name);
  const auto result = Train(*loaded, options, comm);
  EXPECT_TRUE(result.ok()) << result.status();
  const auto state = ReadStateDict(absl::StrCat(options.work_dir, "/epoch_", kEpochs, ".pth"));
  EXPECT_TRUE(state.ok()) << state.status();
  return *state;
}

class RecordedSteps : public testing::TestWithParam<std::string> {};

TEST_P(RecordedSteps, TrainToTheSameBits) {
  const std::unique_ptr<Communicator> comm = Comm();
  std::string folder;
  if (comm->rank() == 0) {
    folder = EmptyTestFolder();
    ASSERT_TRUE(MakeData(folder + "/data").ok());
    const std::string split = absl::StrCat("path: \"", folder, "/data\" total_batch_size: ", kBatch,
                                           " pipeline { random_crop { size: 16 padding: 2 } } "
                                           "pipeline { random_flip {} } pipeline { normalize {} }");
    ASSERT_TRUE(WriteFileAtomically(
                    folder + "/config.pbtxt",
                    absl::StrCat("model { backbone { resnet { depth: 18 stem: CIFAR base_channels: "
                                 "4 } frozen_stages: 0 } head { num_classes: 3 } }\n"
                                 "data { train { split: \"train\" ",
                                 split, " } val { split: \"test\" ", split,
                                 " } }\n"
                                 "optimizer { sgd { lr: 0.05 momentum: 0.9 } }\n"
                                 "schedule { max_epochs: ",
                                 kEpochs,
                                 " multi_step { milestones: 3 } }\n"
                                 // LibTorch's operators, as on a GPU.
                                 "runtime { engine: PLAIN threads: 1 }\n"))
                    .ok());
  }
  ASSERT_TRUE(comm->Broadcast(folder, 0).ok());

  std::vector<std::string> settings;
  if (!GetParam().empty()) settings.push_back(GetParam());
  const TensorList expected = Trained(folder, "one_by_one", settings, comm.get());
  const int64_t before = CpuGraphReplays();
  settings.emplace_back("runtime.cuda_graph=true");
  const TensorList recorded = Trained(folder, "recorded", settings, comm.get());
  // Each epoch has two whole batches and a smaller one; the first three whole ones are not
  // replayed.
  EXPECT_EQ(CpuGraphReplays() - before, 2 * kEpochs - 3);
  ASSERT_EQ(recorded.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(recorded[i].name, expected[i].name);
    EXPECT_TRUE(recorded[i].tensor.equal(expected[i].tensor)) << expected[i].name;
  }
  ASSERT_TRUE(comm->Barrier().ok());
}

INSTANTIATE_TEST_SUITE_P(All, RecordedSteps,
                         testing::Values("", "data.train.micro_batch_size=3",
                                         "optimizer.clip_gradient={max_norm: 0.1}",
                                         "runtime.precision=BFLOAT16"));

// What a step reads of a batch, and its all-reduces, are each batch's own.
TEST(StepGraph, EachLaunchHasItsBatchAndItsSums) {
  const std::unique_ptr<Communicator> comm = Comm();
  ReplayCommunicator replayed(comm.get());
  StepGraph graph(at::kCPU, &replayed);
  const at::Tensor sum = at::zeros({2});
  std::unique_ptr<Communicator::Work> work;
  const auto passes = [&](const Batch& batch) {
    sum.copy_(batch.images.sum() + batch.draws.sum());
    auto started = replayed.AllReduceSum(sum);
    EXPECT_TRUE(started.ok()) << started.status();
    work = *std::move(started);
    return batch.labels.sum() * 2;
  };
  for (int i = 0; i < 6; ++i) {
    Batch batch;
    batch.images = at::zeros({1, 1, 2, 2}) + i;
    batch.draws = at::zeros({1, 2}, at::kLong) + 100 * i;
    batch.labels = at::zeros({1}, at::kLong) + 10 * i + comm->rank();
    const auto result = graph.Run(batch, passes);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->item<int64_t>(), 2 * (10 * i + comm->rank()));
    ASSERT_TRUE(work->Wait().ok());
    EXPECT_EQ(sum[0].item<float>(), static_cast<float>(204 * i * comm->size())) << i;
  }
}

}  // namespace
}  // namespace finetune
