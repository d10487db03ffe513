#include "src/data/device_pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <google/protobuf/text_format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/config/experiment.pb.h"
#include "src/testing/manifest_of.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

constexpr int kHeight = 7, kWidth = 9, kImages = 12;

// The results of DevicePipeline (`device`) and of Pipeline (`host`) for the same images, [n, C, H,
// W].
struct Results {
  at::Tensor device, host;
};

Results PrepareBoth(const std::string& steps, int channels, at::ScalarType type) {
  SplitConfig split;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(steps, &split)) << steps;
  const auto pipeline = Pipeline::Create(split, ManifestOf(channels, kHeight, kWidth));
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  constexpr auto kLayout = at::MemoryFormat::ChannelsLast;
  const at::Tensor pixels = at::empty({kImages, channels, kHeight, kWidth}, at::kByte, kLayout);
  const at::Tensor draws = at::empty({kImages, pipeline->draws()}, at::kLong);
  Results results;
  results.host = at::empty({kImages, pipeline->channels(), pipeline->height(), pipeline->width()},
                           at::TensorOptions(type), kLayout);
  auto* bytes = pixels.mutable_data_ptr<uint8_t>();
  auto* out = static_cast<uint8_t*>(results.host.mutable_data_ptr());
  constexpr size_t kPixels = size_t{kHeight} * kWidth;
  Pipeline::Scratch scratch;
  for (size_t i = 0; i < kImages; ++i) {
    uint8_t* image = bytes + i * kPixels * channels;
    for (size_t j = 0; j < kPixels * channels; ++j) {
      image[j] = static_cast<uint8_t>(i * 41 + j * 97 + j * j * 13);
    }
    int64_t* drawn = draws.mutable_data_ptr<int64_t>() + i * pipeline->draws();
    const ImageShape shape = {channels, kHeight, kWidth};
    pipeline->Draw(/*seed=*/5, /*epoch=*/2, static_cast<int64_t>(i), shape, drawn);
    uint8_t* to = out + i * results.host.stride(0) * results.host.element_size();
    const absl::Span<const uint8_t> stored(image, kPixels * channels);
    if (type == at::kFloat) {
      pipeline->Apply(stored, shape, drawn, &scratch, reinterpret_cast<float*>(to));
    } else {
      pipeline->Apply(stored, shape, drawn, &scratch, reinterpret_cast<Bfloat16*>(to));
    }
  }
  Batch batch;
  batch.images = pixels.to(TestDevice());
  batch.draws = draws.to(TestDevice());
  results.device = DevicePipeline(*pipeline, /*batch_transform=*/nullptr, TestDevice(), type)
                       .Apply(batch)
                       .to(at::kCPU);
  return results;
}

// Returns the largest difference between a value on the device and on the host.
double Apart(const Results& results) {
  return (results.device.to(at::kDouble) - results.host.to(at::kDouble)).abs().max().item<double>();
}

TEST(DevicePipeline, PreparesImagesAsThePipelineDoes) {
  for (const char* steps : {
           "",
           "pipeline { normalize {} }",
           "pipeline { random_crop { size: 5 } } pipeline { random_flip {} }",
           "pipeline { random_crop { size: 7 padding: 4 pad_value: 114 } } pipeline { normalize {} "
           "}",
           "pipeline { center_crop { size: 4 } } pipeline { normalize {} }",
           "pipeline { resize { size: 20 } } pipeline { normalize {} }",
           "pipeline { resize { height: 3 width: 4 } } pipeline { normalize {} }",
           // A longer pipeline.
           "pipeline { random_crop { size: 7 padding: 2 } } pipeline { random_flip { probability: "
           "0.5 } } pipeline { resize { size: 32 } } pipeline { normalize {} }",
           "pipeline { grayscale { channels: 3 } } pipeline { resize { size: 12 } }",
           "pipeline { random_flip {} } pipeline { grayscale {} } pipeline { random_crop { size: 4 "
           "} } pipeline { normalize { mean: 100 std: 50 } }",
           "pipeline { resize { size: 8 } } pipeline { grayscale { channels: 3 } } pipeline { "
           "normalize { mean: [100, 101, 102] std: [50, 51, 52] } }",
           // Steps that follow a resize.
           "pipeline { random_flip {} } pipeline { resize { size: 12 } } pipeline { random_crop { "
           "size: 10 padding: 1 pad_value: 7 } } pipeline { random_flip {} } pipeline { normalize "
           "{} }",
       }) {
    for (const int channels : {1, 3}) {
      SCOPED_TRACE(std::string(steps) + " of " + std::to_string(channels) + " channels");
      const Results results = PrepareBoth(steps, channels, at::kFloat);
      ASSERT_EQ(results.device.sizes(), results.host.sizes());
      // The tolerance: a few roundings of float32 for values up to 255.
      EXPECT_LE(Apart(results), 1e-4);
    }
  }
}

TEST(DevicePipeline, GivesTheModelsTypeAndLayout) {
  const Results results =
      PrepareBoth("pipeline { resize { size: 16 } } pipeline { normalize {} }", 3, at::kBFloat16);
  EXPECT_EQ(results.device.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(results.device.is_contiguous(at::MemoryFormat::ChannelsLast));
  // The tolerance: float32 values that differ in their last bits may be rounded to neighbouring
  // bfloat16 values, which for values up to 4 are at most 4/256 apart.
  EXPECT_LE(Apart(results), 4.0 / 256);
}

TEST(DevicePipeline, AcceptsAnEmptyBatch) {
  SplitConfig split;
  split.add_pipeline()->mutable_random_crop()->set_size(4);
  split.add_pipeline()->mutable_random_flip();
  split.add_pipeline()->mutable_normalize();
  const auto pipeline = Pipeline::Create(split, ManifestOf(3, kHeight, kWidth));
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const at::TensorOptions on_device(TestDevice());
  Batch batch;
  batch.images = at::empty({0, 3, kHeight, kWidth}, on_device.dtype(at::kByte));
  batch.draws = at::empty({0, pipeline->draws()}, on_device.dtype(at::kLong));
  const at::Tensor out =
      DevicePipeline(*pipeline, /*batch_transform=*/nullptr, TestDevice(), at::kFloat).Apply(batch);
  EXPECT_EQ(out.sizes(), (std::vector<int64_t>{0, 3, 4, 4}));
}

}  // namespace
}  // namespace finetune
