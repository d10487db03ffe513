#include "src/data/pipeline.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr int kHeight = 5, kWidth = 4;

DatasetManifest Manifest() {
  DatasetManifest manifest;
  manifest.set_channels(3);
  manifest.set_height(kHeight);
  manifest.set_width(kWidth);
  for (int c = 0; c < 3; ++c) {
    manifest.add_mean(10 * c);
    manifest.add_std(c + 1);
  }
  return manifest;
}

// The picture of tests/fixtures/data/make_fixtures.py.
std::vector<uint8_t> Pixels() {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < 3; ++c)
        pixels.push_back(static_cast<uint8_t>(7 * y + 13 * x + 31 * c + 5 * y * x));
    }
  }
  return pixels;
}

absl::StatusOr<Pipeline> Make(const std::string& steps) {
  SplitConfig split;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(steps, &split)) << steps;
  return Pipeline::Create(split.pipeline(), Manifest());
}

std::vector<float> Apply(const std::string& steps, int64_t epoch = 0, int64_t index = 0) {
  const auto pipeline = Make(steps);
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  Pipeline::Scratch scratch;
  std::vector<float> out(static_cast<size_t>(pipeline->height()) * pipeline->width() * 3);
  pipeline->Apply(Pixels(), 1, epoch, index, &scratch, out.data());
  return out;
}

void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected, float bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], bound) << i;
}

TEST(Pipeline, ResizingUpIsOpenCvs) {
  ExpectNear(Apply("pipeline { resize { height: 8 width: 7 } }"),
             {0.0000000f, 31.000000f, 62.000000f, 4.6428571f, 35.642857f, 66.642860f, 12.071428f,
              43.071426f, 74.071426f, 19.500000f, 50.500000f, 81.500000f, 26.928572f, 57.928570f,
              88.928574f, 34.357143f, 65.357140f, 96.357140f, 39.000000f, 70.000000f, 101.00000f,
              3.0625000f, 34.062500f, 65.062500f, 8.4866076f, 39.486607f, 70.486610f, 17.165178f,
              48.165176f, 79.165176f, 25.843750f, 56.843750f, 87.843750f, 34.522320f, 65.522324f,
              96.522324f, 43.200893f, 74.200890f, 105.20089f, 48.625000f, 79.625000f, 110.62500f,
              7.4375000f, 38.437500f, 69.437500f, 13.977679f, 44.977676f, 75.977684f, 24.441963f,
              55.441963f, 86.441963f, 34.906250f, 65.906250f, 96.906250f, 45.370533f, 76.370537f,
              107.37054f, 55.834824f, 86.834816f, 117.83482f, 62.375000f, 93.375000f, 124.37500f,
              11.812500f, 42.812500f, 73.812500f, 19.468750f, 50.468750f, 81.468750f, 31.718750f,
              62.718750f, 93.718750f, 43.968750f, 74.968750f, 105.96875f, 56.218750f, 87.218750f,
              118.21875f, 68.468750f, 99.468750f, 130.46875f, 76.125000f, 107.12500f, 138.12500f,
              16.187500f, 47.187500f, 78.187500f, 24.959822f, 55.959824f, 86.959824f, 38.995537f,
              69.995537f, 100.99554f, 53.031250f, 84.031250f, 115.03125f, 67.066963f, 98.066963f,
              129.06697f, 81.102676f, 112.10268f, 143.10268f, 89.875000f, 120.87500f, 151.87500f,
              20.562500f, 51.562500f, 82.562500f, 30.450893f, 61.450893f, 92.450890f, 46.272320f,
              77.272324f, 108.27232f, 62.093750f, 93.093750f, 124.09375f, 77.915176f, 108.91518f,
              139.91518f, 93.736610f, 124.73661f, 155.73660f, 103.62500f, 134.62500f, 165.62500f,
              24.937500f, 55.937500f, 86.937500f, 35.941963f, 66.941963f, 97.941963f, 53.549107f,
              84.549103f, 115.54910f, 71.156250f, 102.15625f, 133.15625f, 88.763390f, 119.76339f,
              150.76340f, 106.37054f, 137.37053f, 168.37053f, 117.37500f, 148.37500f, 179.37500f,
              28.000000f, 59.000000f, 90.000000f, 39.785713f, 70.785713f, 101.78571f, 58.642857f,
              89.642853f, 120.64285f, 77.500000f, 108.50000f, 139.50000f, 96.357140f, 127.35714f,
              158.35715f, 115.21429f, 146.21428f, 177.21428f, 127.00000f, 158.00000f, 189.00000f},
             1e-3);
}

TEST(Pipeline, ResizingDownIsOpenCvs) {
  ExpectNear(Apply("pipeline { resize { height: 3 width: 2 } }"),
             {9.6666670f, 40.666668f, 71.666664f, 39.000000f, 70.000000f, 101.00000f, 25.500000f,
              56.500000f, 87.500000f, 71.500000f, 102.50000f, 133.50000f, 41.333332f, 72.333336f,
              103.33334f, 104.00000f, 135.00000f, 166.00000f},
             1e-3);
}

TEST(Pipeline, NormalizeIsFusedIntoResizeWithoutAnotherResult) {
  const std::vector<float> plain = Apply("pipeline { resize { size: 9 } }");
  const std::vector<float> fused = Apply(
      "pipeline { resize { size: 9 } } pipeline { normalize { mean: [1, 2, 3] std: [2, 4, 8] } }");
  for (size_t i = 0; i < plain.size(); ++i) {
    const float mean = static_cast<float>(i % 3 + 1), std = static_cast<float>(2 << (i % 3));
    EXPECT_NEAR(fused[i], (plain[i] - mean) / std, 1e-4) << i;
  }
}

TEST(Pipeline, NormalizeTakesTheManifestsValuesWhereItHasNone) {
  const std::vector<float> out = Apply("pipeline { normalize {} }");
  const std::vector<uint8_t> pixels = Pixels();
  for (size_t i = 0; i < pixels.size(); ++i) {
    const float c = static_cast<float>(i % 3);
    EXPECT_NEAR(out[i], (static_cast<float>(pixels[i]) - 10 * c) / (c + 1), 1e-5) << i;
  }
}

TEST(Pipeline, Bfloat16IsTheFloatResultRoundedToNearest) {
  const auto pipeline = Make("pipeline { resize { size: 6 } } pipeline { normalize {} }");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  Pipeline::Scratch scratch;
  std::vector<float> wide(6 * 6 * 3);
  std::vector<Bfloat16> narrow(wide.size());
  pipeline->Apply(Pixels(), 1, 0, 0, &scratch, wide.data());
  pipeline->Apply(Pixels(), 1, 0, 0, &scratch, narrow.data());
  for (size_t i = 0; i < wide.size(); ++i) {
    const uint32_t bits = uint32_t{narrow[i].bits} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    EXPECT_NEAR(value, wide[i], std::abs(wide[i]) / 256) << i;
  }
}

TEST(Pipeline, FlipMirrorsLeftToRight) {
  const std::vector<float> flipped = Apply("pipeline { random_flip { probability: 1 } }");
  const std::vector<float> plain = Apply("pipeline { random_flip { probability: 0 } }");
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < 3; ++c) {
        EXPECT_EQ(flipped[(y * kWidth + x) * 3 + c], plain[(y * kWidth + kWidth - 1 - x) * 3 + c]);
      }
    }
  }
}

TEST(Pipeline, CenterCropIsTheMiddle) {
  const std::vector<float> cropped = Apply("pipeline { center_crop { size: 2 } }");
  const std::vector<float> plain = Apply("");
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 2; ++x)
      EXPECT_EQ(cropped[(y * 2 + x) * 3], plain[((y + 1) * kWidth + x + 1) * 3]);
  }
}

// Every crop is a window of the padded picture, and all windows come up.
TEST(Pipeline, RandomCropsAreWindowsOfThePaddedPicture) {
  const std::vector<float> plain = Apply("");
  const auto padded = [&](int y, int x) {
    if (y < 1 || x < 1 || y > kHeight || x > kWidth) return 9.0f;
    return plain[((y - 1) * kWidth + x - 1) * 3];
  };
  std::vector<int> seen(4 * 3, 0);
  for (int index = 0; index < 500; ++index) {
    const std::vector<float> crop =
        Apply("pipeline { random_crop { size: 4 padding: 1 pad_value: 9 } }", 0, index);
    int matches = 0;
    for (int top = 0; top <= kHeight + 2 - 4; ++top) {
      for (int left = 0; left <= kWidth + 2 - 4; ++left) {
        bool same = true;
        for (int y = 0; y < 4; ++y) {
          for (int x = 0; x < 4; ++x)
            same = same && crop[(y * 4 + x) * 3] == padded(top + y, left + x);
        }
        if (same) {
          ++matches;
          ++seen[top * 3 + left];
        }
      }
    }
    ASSERT_EQ(matches, 1) << index;
  }
  EXPECT_GT(*std::min_element(seen.begin(), seen.end()), 15);
}

TEST(Pipeline, DrawsDependOnEpochAndPicture) {
  const std::string steps = "pipeline { random_crop { size: 4 padding: 4 } }";
  EXPECT_EQ(Apply(steps, 3, 5), Apply(steps, 3, 5));
  int epochs = 0, pictures = 0;
  for (int i = 1; i < 20; ++i) {
    epochs += Apply(steps, i, 5) != Apply(steps, 0, 5) ? 1 : 0;
    pictures += Apply(steps, 3, i) != Apply(steps, 3, 0) ? 1 : 0;
  }
  EXPECT_GT(epochs, 10);
  EXPECT_GT(pictures, 10);
}

TEST(Pipeline, StepsAfterAResizeWork) {
  const std::vector<float> whole = Apply("pipeline { resize { size: 8 } }");
  const std::vector<float> middle =
      Apply("pipeline { resize { size: 8 } } pipeline { center_crop { size: 4 } }");
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 4; ++x)
      EXPECT_EQ(middle[(y * 4 + x) * 3], whole[((y + 2) * 8 + x + 2) * 3]);
  }
}

TEST(Pipeline, WhatCannotWorkIsRefused) {
  EXPECT_EQ(Make("pipeline { random_crop { size: 6 } }").status().message(),
            "random_crop of 6 does not fit a picture of 5x4 with padding 0");
  EXPECT_EQ(Make("pipeline { normalize {} } pipeline { random_flip {} }").status().message(),
            "normalize must be the pipeline's last step");
}

}  // namespace
}  // namespace finetune
