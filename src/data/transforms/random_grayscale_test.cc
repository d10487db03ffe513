#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/data/device_pipeline.h"
#include "src/data/pipeline.h"
#include "src/testing/manifest_of.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

constexpr int kHeight = 3, kWidth = 5;

absl::StatusOr<Pipeline> Make(const std::string& steps, int channels = 3) {
  SplitConfig split;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(steps, &split)) << steps;
  return Pipeline::Create(split, ManifestOf(channels, kHeight, kWidth));
}

std::vector<uint8_t> Pixels(int64_t index, int channels = 3) {
  std::vector<uint8_t> pixels(size_t{kHeight} * kWidth * channels);
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<uint8_t>(41 * index + 97 * i + 13 * i * i);
  }
  return pixels;
}

std::vector<int64_t> Draws(const Pipeline& pipeline, int64_t index) {
  std::vector<int64_t> draws(pipeline.draws());
  pipeline.Draw(/*seed=*/1, /*epoch=*/0, index, {3, kHeight, kWidth}, draws.data());
  return draws;
}

std::vector<float> Apply(const std::string& steps, int64_t index = 0, int channels = 3) {
  const auto pipeline = Make(steps, channels);
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  std::vector<float> out(size_t{1} * pipeline->height() * pipeline->width() * pipeline->channels());
  Pipeline::Scratch scratch;
  pipeline->Apply(Pixels(index, channels), {channels, kHeight, kWidth},
                  Draws(*pipeline, index).data(), &scratch, out.data());
  return out;
}

// This test compares with `grayscale`, which pipeline_test compares with OpenCV.
TEST(RandomGrayscaleTest, MakesTheGreyOfGrayscaleOrLeavesTheImage) {
  EXPECT_EQ(Apply("pipeline { random_grayscale { probability: 1 } }"),
            Apply("pipeline { grayscale { channels: 3 } }"));
  EXPECT_EQ(Apply("pipeline { random_grayscale { probability: 0 } }"), Apply(""));
}

TEST(RandomGrayscaleTest, TurnsAsManyImagesGreyAsItsProbabilitySays) {
  const std::string random = "pipeline { random_grayscale { probability: 0.3 } }";
  int grey = 0;
  for (int64_t index = 0; index < 1000; ++index) {
    const std::vector<float> image = Apply(random, index);
    if (image == Apply("", index)) continue;
    EXPECT_EQ(image, Apply("pipeline { grayscale { channels: 3 } }", index)) << index;
    ++grey;
  }
  // The tolerance is five standard deviations; one is 14.5.
  EXPECT_NEAR(grey, 300, 73);
}

TEST(RandomGrayscaleTest, KeepsImagesOfOneChannel) {
  EXPECT_EQ(Apply("pipeline { random_grayscale { probability: 1 } }", 0, 1), Apply("", 0, 1));
}

TEST(RandomGrayscaleTest, DoesNotShiftTheDrawsOfOtherSteps) {
  const std::string crop = "pipeline { random_crop { size: 3 padding: 2 } } ";
  const std::string grey = "pipeline { random_grayscale {} } ";
  const std::string flip = "pipeline { random_flip {} } ";
  const auto without = Make(crop + flip), with = Make(crop + grey + flip);
  ASSERT_TRUE(without.ok()) << without.status();
  ASSERT_TRUE(with.ok()) << with.status();
  for (int64_t index = 0; index < 50; ++index) {
    std::vector<int64_t> draws = Draws(*with, index);
    draws.erase(draws.begin() + 2);
    EXPECT_EQ(draws, Draws(*without, index)) << index;
  }
}

TEST(RandomGrayscaleTest, OnTheDeviceIsTheSame) {
  for (const char* after : {"", "pipeline { resize { size: 7 } }", "pipeline { normalize {} }"}) {
    for (const int channels : {1, 3}) {
      const auto pipeline = Make(
          std::string("pipeline { random_grayscale { probability: 0.5 } } ") + after, channels);
      ASSERT_TRUE(pipeline.ok()) << pipeline.status();
      constexpr int64_t kImages = 12;
      constexpr auto kLayout = at::MemoryFormat::ChannelsLast;
      const at::Tensor pixels = at::empty({kImages, channels, kHeight, kWidth}, at::kByte, kLayout);
      const at::Tensor draws = at::empty({kImages, 1}, at::kLong);
      const at::Tensor expected = at::empty(
          {kImages, channels, pipeline->height(), pipeline->width()}, at::kFloat, kLayout);
      Pipeline::Scratch scratch;
      for (int64_t i = 0; i < kImages; ++i) {
        const std::vector<uint8_t> stored = Pixels(i, channels);
        std::copy(stored.begin(), stored.end(),
                  pixels.mutable_data_ptr<uint8_t>() + i * pixels.stride(0));
        int64_t* drawn = draws.mutable_data_ptr<int64_t>() + i;
        const ImageShape shape = {channels, kHeight, kWidth};
        pipeline->Draw(/*seed=*/1, /*epoch=*/0, i, shape, drawn);
        pipeline->Apply(stored, shape, drawn, &scratch,
                        expected.mutable_data_ptr<float>() + i * expected.stride(0));
      }
      Batch batch;
      batch.images = pixels.to(TestDevice());
      batch.draws = draws.to(TestDevice());
      const at::Tensor made =
          DevicePipeline(*pipeline, /*batch_transform=*/nullptr, TestDevice(), at::kFloat)
              .Apply(batch)
              .to(at::kCPU);
      // The tolerance: a few roundings of float32 for values up to 255.
      EXPECT_LE(made.sub(expected).abs().max().item<double>(), 1e-4) << after << channels;
    }
  }
}

TEST(RandomGrayscaleTest, KeepsTheStoredStatisticsUnlessEveryImageIsGrey) {
  EXPECT_TRUE(Make("pipeline { random_grayscale {} } pipeline { normalize {} }").ok());
  EXPECT_EQ(Make("pipeline { random_grayscale { probability: 1 } } pipeline { normalize {} }")
                .status()
                .message(),
            "pipeline[1].normalize: has no mean and std, and the data's own are those of red, "
            "green and blue, not of the grey that the pipeline makes of them; give it both");
}

TEST(RandomGrayscaleTest, RefusesWhatIsNotAProbability) {
  EXPECT_EQ(Make("pipeline { random_grayscale { probability: 1.5 } }").status().message(),
            "pipeline[0].random_grayscale.probability: is 1.5; expected 0 to 1");
}

}  // namespace
}  // namespace finetune
