#include "src/predict/image_pipeline.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/data/decode/test_images.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::Each;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const PixelStatistics kStatistics = {{100, 100, 100}, {50, 50, 50}};

std::vector<float> Prepare(const ImagePipeline& pipeline, const std::string& bytes) {
  ImagePipeline::Desk desk(pipeline.orientation());
  std::vector<float> out(static_cast<size_t>(pipeline.channels() * pipeline.height()) *
                         static_cast<size_t>(pipeline.width()));
  const absl::Status status = pipeline.Prepare(0, 0, bytes, &desk, out.data());
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

TEST(ImagePipelineTest, EncodedImagesGoThroughThePipelineAsTheyAre) {
  const auto pipeline = ImagePipeline::Create(
      FromText<SplitConfig>(
          "pipeline { resize_edge { size: 8 } } pipeline { center_crop { size: 4 } "
          "} pipeline { normalize {} }"),
      {.shape = {3, 0, 0}, .encoded = true}, &kStatistics);
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_FALSE(pipeline->fits());
  EXPECT_EQ(pipeline->height(), 4);
  EXPECT_THAT(Prepare(*pipeline, FlatPng(20, 31, 150, 150, 150)), Each(FloatNear(1, 1e-5)));
}

// If all stored images have one size, the pipeline may lack a step that resizes to it.
TEST(ImagePipelineTest, FitsImagesToTheStoredSize) {
  const auto pipeline = ImagePipeline::Create(FromText<SplitConfig>("pipeline { normalize {} }"),
                                              {.shape = {3, 6, 6}, .encoded = false}, &kStatistics);
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_TRUE(pipeline->fits());
  for (const auto& [height, width] : {std::pair(6, 6), std::pair(12, 9), std::pair(3, 50)}) {
    const std::vector<float> out = Prepare(*pipeline, FlatPng(height, width, 150, 150, 150));
    EXPECT_THAT(out, SizeIs(6 * 6 * 3));
    EXPECT_THAT(out, Each(FloatNear(1, 1e-5))) << height << "x" << width;
  }
}

TEST(ImagePipelineTest, ImagesBecomeGreyWhereStoredImagesAre) {
  const PixelStatistics grey = {{100}, {50}};
  const auto pipeline = ImagePipeline::Create(
      FromText<SplitConfig>("pipeline { resize { size: 5 } } pipeline { normalize {} }"),
      {.shape = {1, 5, 5}, .encoded = false}, &grey);
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ(pipeline->channels(), 1);
  EXPECT_THAT(Prepare(*pipeline, FlatPng(5, 5, 150, 150, 150)), Each(FloatNear(1, 1e-6)));
  // Pillow converts this colour to the grey value 88: Image.new("RGB", (1, 1), (255, 0,
  // 100)).convert("L").
  EXPECT_THAT(Prepare(*pipeline, FlatPng(5, 5, 255, 0, 100)), Each(FloatNear(-0.24F, 1e-5)));
}

TEST(ImagePipelineTest, SaysWhichStepIsMissing) {
  const auto pipeline = ImagePipeline::Create(FromText<SplitConfig>("pipeline { normalize {} }"),
                                              {.shape = {3, 0, 0}, .encoded = true}, &kStatistics);
  ASSERT_FALSE(pipeline.ok());
  EXPECT_THAT(std::string(pipeline.status().message()),
              HasSubstr("data.val: pipeline: leaves images of different sizes; add"));
}

}  // namespace
}  // namespace finetune
