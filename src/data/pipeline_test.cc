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
  ExpectNear(
      Apply("pipeline { resize { height: 8 width: 7 } }"),
      {0.0f,    31.0f,   62.0f,   4.6429f, 35.643f, 66.643f, 12.071f, 43.071f, 74.071f, 19.5f,
       50.5f,   81.5f,   26.929f, 57.929f, 88.929f, 34.357f, 65.357f, 96.357f, 39.0f,   70.0f,
       101.0f,  3.0625f, 34.062f, 65.062f, 8.4866f, 39.487f, 70.487f, 17.165f, 48.165f, 79.165f,
       25.844f, 56.844f, 87.844f, 34.522f, 65.522f, 96.522f, 43.201f, 74.201f, 105.2f,  48.625f,
       79.625f, 110.62f, 7.4375f, 38.438f, 69.438f, 13.978f, 44.978f, 75.978f, 24.442f, 55.442f,
       86.442f, 34.906f, 65.906f, 96.906f, 45.371f, 76.371f, 107.37f, 55.835f, 86.835f, 117.83f,
       62.375f, 93.375f, 124.38f, 11.812f, 42.812f, 73.812f, 19.469f, 50.469f, 81.469f, 31.719f,
       62.719f, 93.719f, 43.969f, 74.969f, 105.97f, 56.219f, 87.219f, 118.22f, 68.469f, 99.469f,
       130.47f, 76.125f, 107.12f, 138.12f, 16.188f, 47.188f, 78.188f, 24.96f,  55.96f,  86.96f,
       38.996f, 69.996f, 101.0f,  53.031f, 84.031f, 115.03f, 67.067f, 98.067f, 129.07f, 81.103f,
       112.1f,  143.1f,  89.875f, 120.88f, 151.88f, 20.562f, 51.562f, 82.562f, 30.451f, 61.451f,
       92.451f, 46.272f, 77.272f, 108.27f, 62.094f, 93.094f, 124.09f, 77.915f, 108.92f, 139.92f,
       93.737f, 124.74f, 155.74f, 103.62f, 134.62f, 165.62f, 24.938f, 55.938f, 86.938f, 35.942f,
       66.942f, 97.942f, 53.549f, 84.549f, 115.55f, 71.156f, 102.16f, 133.16f, 88.763f, 119.76f,
       150.76f, 106.37f, 137.37f, 168.37f, 117.38f, 148.38f, 179.38f, 28.0f,   59.0f,   90.0f,
       39.786f, 70.786f, 101.79f, 58.643f, 89.643f, 120.64f, 77.5f,   108.5f,  139.5f,  96.357f,
       127.36f, 158.36f, 115.21f, 146.21f, 177.21f, 127.0f,  158.0f,  189.0f},
      2e-3);
}

TEST(Pipeline, ResizingDownIsOpenCvs) {
  ExpectNear(Apply("pipeline { resize { height: 3 width: 2 } }"),
             {9.6667f, 40.667f, 71.667f, 39.0f, 70.0f, 101.0f, 25.5f, 56.5f, 87.5f, 71.5f, 102.5f,
              133.5f, 41.333f, 72.333f, 103.33f, 104.0f, 135.0f, 166.0f},
             2e-3);
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
