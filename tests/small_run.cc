#include "tests/small_run.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/reader.h"
#include "src/config/config.h"
#include "src/data/builder.h"
#include "src/train/train.h"

namespace finetune {
namespace {

absl::Status MakeData(const std::string& folder, const SmallRun& run) {
  DatasetBuilder::Options options;
  options.folder = folder;
  options.class_names = {"a", "b", "c"};
  options.height = options.width = 16;
  options.channels = 3;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
  std::vector<uint8_t> pixels(size_t{16} * 16 * 3);
  for (const char* split : {"train", "test"}) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(split, run.images));
    for (size_t i = 0; i < static_cast<size_t>(run.images); ++i) {
      const size_t label = !run.has_small_class ? i % 3 : i % 6 == 0 ? 2 : i % 2;
      for (size_t j = 0; j < pixels.size(); ++j) {
        pixels[j] = static_cast<uint8_t>(i * 61 + j * (7 + label) + j * j * 3);
      }
      FT_RETURN_IF_ERROR(builder.Add(pixels, static_cast<int64_t>(label)));
    }
  }
  return builder.Finish();
}

}  // namespace

absl::Status MakeSmallRun(const std::string& folder, const SmallRun& run) {
  FT_RETURN_IF_ERROR(MakeData(folder + "/data", run));
  const std::string split =
      absl::StrCat("path: \"", folder, "/data\" total_batch_size: ", run.batch,
                   " pipeline { random_crop { size: 16 padding: 2 } } "
                   "pipeline { random_flip {} } pipeline { normalize {} }");
  return WriteFileAtomically(
      folder + "/config.pbtxt",
      absl::StrCat("model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } "
                   "frozen_stages: 0 } head { num_classes: 3 } }\n"
                   "data { train { split: \"train\" ",
                   split, " } val { split: \"test\" ", split,
                   " } }\n"
                   "optimizer { sgd { lr: 0.05 momentum: 0.9 } }\n"
                   "schedule { max_epochs: ",
                   run.epochs,
                   " multi_step { milestones: 3 } }\n"
                   // Uses LibTorch's operators, as on a GPU, and many buckets, so that their
                   // all-reduces start in the middle of backward.
                   "runtime { engine: PLAIN threads: 1 }\n"
                   "comm { first_bucket_mebibytes: 0.001 bucket_mebibytes: 0.02 }\n"));
}

std::string MakeSharedSmallRun(const SmallRun& run, Communicator* comm) {
  std::string folder;
  if (comm->rank() == 0) {
    folder = EmptyTestFolder();
    const absl::Status made = MakeSmallRun(folder, run);
    EXPECT_TRUE(made.ok()) << made;
  }
  const absl::Status told = comm->Broadcast(folder, 0);
  EXPECT_TRUE(told.ok()) << told;
  return folder;
}

absl::StatusOr<LoadedConfig> LoadSmallRun(const std::string& folder,
                                          const std::vector<std::string>& settings) {
  return LoadConfig(folder + "/config.pbtxt", {.search_path = {}, .overrides = settings});
}

TensorList TrainSmallRun(const std::string& folder, const std::string& name,
                         const std::vector<std::string>& settings, Communicator* comm,
                         const SmallRunPart& part) {
  const auto loaded = LoadSmallRun(folder, settings);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  if (!loaded.ok()) return {};
  TrainOptions options;
  options.work_dir = absl::StrCat(folder, "/", name);
  options.max_iterations = part.iterations;
  options.resume = part.resume;
  const auto result = Train(*loaded, options, comm);
  EXPECT_TRUE(result.ok()) << result.status();
  const auto state = ReadStateDict(options.work_dir + "/latest.pth");
  EXPECT_TRUE(state.ok()) << state.status();
  return state.ok() ? state->tensors : TensorList();
}

}  // namespace finetune
