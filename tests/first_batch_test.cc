// Tests that a run records the images of its first batch as the model gets them, on the CPU and on
// a CPU that imitates a GPU (tests/fake_gpu.h).
#include "src/observe/first_batch.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"
#include "src/comm/single_communicator.h"
#include "src/data/dataset.h"
#include "src/data/loader.h"
#include "src/data/show_batch.h"
#include "tests/fake_gpu.h"
#include "tests/small_run.h"

namespace finetune {
namespace {

constexpr int kBatch = 16;

class FirstBatchTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    ASSERT_TRUE(MakeSmallRun(folder_, {.images = 40, .batch = kBatch, .epochs = 4}).ok());
  }

  FirstBatch Recorded(const std::string& run) const {
    absl::StatusOr<FirstBatch> batch = ReadFirstBatch(absl::StrCat(folder_, "/", run));
    EXPECT_TRUE(batch.ok()) << batch.status();
    return batch.ok() ? *std::move(batch) : FirstBatch();
  }

  // Returns the images of a batch of data.train, as a loader of its own gives them.
  FirstBatch Loaded(int64_t iteration, const std::vector<std::string>& settings) const {
    const auto config = LoadSmallRun(folder_, settings);
    EXPECT_TRUE(config.ok()) << config.status();
    auto dataset = Dataset::Open(folder_ + "/data", "train");
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    LoaderOptions options;
    options.seed = config->config.runtime().seed();
    const auto loader =
        BatchLoader::Create(*std::move(dataset), config->config.data().train(), options);
    EXPECT_TRUE(loader.ok()) << loader.status();
    (*loader)->Seek(/*epoch=*/0, iteration - 1);
    const auto batch = (*loader)->Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    ContactSheet sheet = SheetFor(**loader, kMostFirstImageSide);
    AddToSheet(**loader, *batch, batch->images, kMostFirstImages, &sheet);
    return *EncodeFirstBatch(sheet, iteration);
  }

  std::string folder_;
};

void ExpectSame(const FirstBatch& found, const FirstBatch& expected) {
  EXPECT_EQ(found.iteration, expected.iteration);
  ASSERT_EQ(found.images.size(), expected.images.size());
  for (size_t i = 0; i < found.images.size(); ++i) {
    EXPECT_EQ(found.images[i].caption, expected.images[i].caption);
    EXPECT_EQ(found.images[i].bytes, expected.images[i].bytes) << i;
  }
}

TEST_F(FirstBatchTest, HoldsTheImagesOfTheFirstIterationWithTheirClasses) {
  SingleCommunicator cpu;
  TrainSmallRun(folder_, "run", {}, &cpu, {.iterations = 2, .resume = ""});
  const FirstBatch found = Recorded("run");
  EXPECT_EQ(found.title, "16 of the 16 images of iteration 1, 16x16 pixels each (height x width)");
  ASSERT_EQ(found.images.size(), size_t{kBatch});
  EXPECT_THAT(found.images[0].caption, testing::MatchesRegex("[0-9]+: [abc]"));
  ExpectSame(found, Loaded(1, {}));
}

TEST_F(FirstBatchTest, HoldsMixedImagesWithBothClasses) {
  const std::vector<std::string> mixup = {"data.train.batch_transform={mixup {alpha: 1}}"};
  SingleCommunicator cpu;
  TrainSmallRun(folder_, "run", mixup, &cpu, {.iterations = 1, .resume = ""});
  ExpectSame(Recorded("run"), Loaded(1, mixup));
}

TEST_F(FirstBatchTest, IsThatOfTheFirstIterationAfterAResume) {
  SingleCommunicator cpu;
  TrainSmallRun(folder_, "run", {}, &cpu, {.iterations = 1, .resume = ""});
  TrainSmallRun(folder_, "run", {}, &cpu, {.iterations = 2, .resume = "auto"});
  ExpectSame(Recorded("run"), Loaded(2, {}));
}

TEST_F(FirstBatchTest, IsTheSameWhereAGpuPreparesTheImages) {
  SingleCommunicator gpu(0);
  for (const char* transform : {"", "{mixup {alpha: 1}}"}) {
    std::vector<std::string> settings;
    if (*transform != 0) settings = {absl::StrCat("data.train.batch_transform=", transform)};
    const std::string run = absl::StrCat("run", settings.size());
    TrainSmallRun(folder_, run, settings, &gpu, {.iterations = 1, .resume = ""});
    ExpectSame(Recorded(run), Loaded(1, settings));
  }
}

}  // namespace
}  // namespace finetune
