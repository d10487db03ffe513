#include "src/data/pipeline.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr int kHeight = 5, kWidth = 4;

DatasetManifest Manifest(int height, int width, int channels) {
  DatasetManifest manifest;
  manifest.set_channels(channels);
  manifest.set_height(height);
  manifest.set_width(width);
  for (int c = 0; c < channels; ++c) {
    manifest.add_mean(10 * c);
    manifest.add_std(c + 1);
  }
  return manifest;
}

// Returns the index of channel `c` of pixel (y, x) in an image of three channels.
size_t At(int64_t y, int64_t x, int64_t width, int64_t c = 0) { return (y * width + x) * 3 + c; }

// Returns the test image, which tests/fixtures/data/make_fixtures.py computes by the same formula.
std::vector<uint8_t> Pixels(int height = kHeight, int width = kWidth, int channels = 3) {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        pixels.push_back(static_cast<uint8_t>(7 * y + 13 * x + 31 * c + 5 * y * x));
      }
    }
  }
  return pixels;
}

absl::StatusOr<Pipeline> Make(const std::string& steps,
                              const DatasetManifest& manifest = Manifest(kHeight, kWidth, 3)) {
  SplitConfig split;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(steps, &split)) << steps;
  return Pipeline::Create(split, manifest);
}

template <typename T>
void Apply(const Pipeline& pipeline, const std::vector<uint8_t>& pixels, int64_t epoch,
           int64_t index, std::vector<T>* out, ImageShape shape = {3, kHeight, kWidth}) {
  std::vector<int64_t> draws(pipeline.draws());
  pipeline.Draw(/*seed=*/1, epoch, index, shape, draws.data());
  Pipeline::Scratch scratch;
  pipeline.Apply(pixels, shape, draws.data(), &scratch, out->data());
}

std::vector<float> Apply(const std::string& steps, int64_t epoch = 0, int64_t index = 0) {
  const auto pipeline = Make(steps);
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  std::vector<float> out(static_cast<size_t>(pipeline->height()) * pipeline->width() * 3);
  Apply(*pipeline, Pixels(), epoch, index, &out);
  return out;
}

// The expected values come from OpenCV's bilinear resize, Pillow's crops and flips, and numpy's
// arithmetic.
TEST(Pipeline, MatchesOpenCvPillowAndNumpy) {
  std::ifstream file("tests/fixtures/data/pipeline.json");
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  ASSERT_GT(cases.size(), 15u);
  for (const nlohmann::json& expected : cases) {
    const std::string steps = expected.at("pipeline");
    SCOPED_TRACE(expected.at("name"));
    const int height = expected.at("height"), width = expected.at("width"),
              channels = expected.at("channels");
    const auto pipeline = Make(steps, Manifest(height, width, channels));
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    EXPECT_EQ((std::vector<int>{pipeline->height(), pipeline->width(), pipeline->channels()}),
              expected.at("expected_shape"));
    const std::vector<float> values = expected.at("expected");
    std::vector<float> out(values.size());
    Apply(*pipeline, Pixels(height, width, channels), 0, 0, &out, {channels, height, width});
    // Steps that add float32 numbers may add in another order than the reference. Steps that only
    // move pixels must be exact.
    const bool sums = absl::StrContains(steps, "resize") || absl::StrContains(steps, "normalize") ||
                      absl::StrContains(steps, "grayscale");
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(out[i], values[i], sums ? 2e-4 : 0) << i;
    }
  }
}

TEST(Pipeline, FusesNormalizeIntoResizeWithoutChangingTheResult) {
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
  std::vector<float> wide(size_t{6} * 6 * 3);
  std::vector<Bfloat16> narrow(wide.size());
  Apply(*pipeline, Pixels(), 0, 0, &wide);
  Apply(*pipeline, Pixels(), 0, 0, &narrow);
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
        EXPECT_EQ(flipped[At(y, x, kWidth, c)], plain[At(y, kWidth - 1 - x, kWidth, c)]);
      }
    }
  }
}

TEST(Pipeline, CenterCropIsTheMiddle) {
  const std::vector<float> cropped = Apply("pipeline { center_crop { size: 2 } }");
  const std::vector<float> plain = Apply("");
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 2; ++x) {
      EXPECT_EQ(cropped[At(y, x, 2)], plain[At(y + 1, x + 1, kWidth)]);
    }
  }
}

// Every crop must be a window of the padded image, and every possible window must occur.
TEST(Pipeline, RandomCropsAreWindowsOfThePaddedImage) {
  const std::vector<float> plain = Apply("");
  const auto padded = [&](int y, int x) {
    if (y < 1 || x < 1 || y > kHeight || x > kWidth) return 9.0f;
    return plain[At(y - 1, x - 1, kWidth)];
  };
  std::vector<int> seen(size_t{4} * 3, 0);
  for (int index = 0; index < 500; ++index) {
    const std::vector<float> crop =
        Apply("pipeline { random_crop { size: 4 padding: 1 pad_value: 9 } }", 0, index);
    int matches = 0;
    for (int top = 0; top <= kHeight + 2 - 4; ++top) {
      for (int left = 0; left <= kWidth + 2 - 4; ++left) {
        bool same = true;
        for (int y = 0; y < 4; ++y) {
          for (int x = 0; x < 4; ++x) {
            same = same && crop[At(y, x, 4)] == padded(top + y, left + x);
          }
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

// Adding or removing steps of other kinds must not change the draws of a step.
TEST(Pipeline, DrawsOfAStepDoNotDependOnOtherKindsOfSteps) {
  const auto draws = [](const std::string& steps, int64_t index) {
    const auto pipeline = Make(steps);
    EXPECT_TRUE(pipeline.ok()) << pipeline.status();
    std::vector<int64_t> drawn(pipeline->draws());
    pipeline->Draw(/*seed=*/3, /*epoch=*/2, index, {3, kHeight, kWidth}, drawn.data());
    return drawn;
  };
  const std::string crop = "pipeline { random_crop { size: 4 padding: 4 } } ";
  const std::string flip = "pipeline { random_flip {} } ";
  int different = 0;
  for (int64_t index = 0; index < 50; ++index) {
    const std::vector<int64_t> crops = draws(crop, index), flips = draws(flip, index);
    const std::vector<int64_t> both = {crops[0], crops[1], flips[0]};
    EXPECT_EQ(draws(crop + flip, index), both);
    EXPECT_EQ(draws(flip + crop, index), (std::vector<int64_t>{flips[0], crops[0], crops[1]}));
    EXPECT_EQ(draws(crop + "pipeline { resize { size: 9 } } " + flip, index), both);
    // Two steps of the same kind must not draw the same numbers.
    const std::vector<int64_t> twice = draws(flip + flip, index);
    EXPECT_EQ(twice[0], flips[0]);
    different += twice[1] != twice[0] ? 1 : 0;
  }
  EXPECT_GT(different, 10);
  EXPECT_LT(different, 40);
}

TEST(Pipeline, DrawsDependOnEpochAndImage) {
  const std::string steps = "pipeline { random_crop { size: 4 padding: 4 } }";
  EXPECT_EQ(Apply(steps, 3, 5), Apply(steps, 3, 5));
  int epochs = 0, images = 0;
  for (int i = 1; i < 20; ++i) {
    epochs += Apply(steps, i, 5) != Apply(steps, 0, 5) ? 1 : 0;
    images += Apply(steps, 3, i) != Apply(steps, 3, 0) ? 1 : 0;
  }
  EXPECT_GT(epochs, 10);
  EXPECT_GT(images, 10);
}

TEST(Pipeline, StepsAfterAResizeWork) {
  const std::vector<float> whole = Apply("pipeline { resize { size: 8 } }");
  const std::vector<float> middle =
      Apply("pipeline { resize { size: 8 } } pipeline { center_crop { size: 4 } }");
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 4; ++x) {
      EXPECT_EQ(middle[At(y, x, 4)], whole[At(y + 2, x + 2, 8)]);
    }
  }
}

TEST(Pipeline, GrayscaleSpreadsOneChannelWithItsStatistics) {
  const auto pipeline =
      Make("pipeline { grayscale { channels: 3 } } pipeline { normalize {} }", [] {
        DatasetManifest manifest = Manifest(kHeight, kWidth, 1);
        manifest.set_mean(0, 30);
        manifest.set_std(0, 4);
        return manifest;
      }());
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ(pipeline->channels(), 3);
  const std::vector<uint8_t> grey = Pixels(kHeight, kWidth, 1);
  std::vector<float> out(grey.size() * 3);
  Apply(*pipeline, grey, 0, 0, &out, {1, kHeight, kWidth});
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_FLOAT_EQ(out[i], (static_cast<float>(grey[i / 3]) - 30) / 4) << i;
  }
}

TEST(Pipeline, GrayscaleKeepsGreyImagesAsTheyAre) {
  const auto pipeline = Make("pipeline { grayscale {} }", Manifest(kHeight, kWidth, 1));
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const std::vector<uint8_t> grey = Pixels(kHeight, kWidth, 1);
  std::vector<float> out(grey.size());
  Apply(*pipeline, grey, 0, 0, &out, {1, kHeight, kWidth});
  EXPECT_EQ(out, std::vector<float>(grey.begin(), grey.end()));
}

TEST(Pipeline, GrayscaleOfColourNeedsNormalizesOwnStatistics) {
  EXPECT_EQ(
      Make("pipeline { grayscale { channels: 3 } } pipeline { normalize {} }").status().message(),
      "pipeline[1].normalize: has no mean and std, and the data's own are those of red, green and "
      "blue, not of the grey that the pipeline makes of them; give it both");
  EXPECT_TRUE(Make("pipeline { grayscale {} } pipeline { normalize { mean: 100 std: 50 } }").ok());
}

TEST(Pipeline, RefusesStepsThatDoNotFit) {
  EXPECT_EQ(Make("pipeline { grayscale { channels: 2 } }").status().message(),
            "pipeline[0].grayscale.channels: is 2; expected 1 or 3");
  EXPECT_EQ(Make("pipeline { random_crop { size: 6 } }").status().message(),
            "pipeline[0].random_crop.size: is 6; the image is 5x4 here");
  EXPECT_EQ(Make("pipeline { normalize {} } pipeline { random_flip {} }").status().message(),
            "pipeline[0].normalize: must be the pipeline's last step: the others work on pixels");
}

// The test's images have three different sizes, and so the manifest gives no size.
TEST(Pipeline, PreparesImagesOfDifferentSizes) {
  const std::string steps =
      "pipeline { random_flip {} } pipeline { random_grayscale { probability: 0.5 } } pipeline { "
      "random_crop { size: 8 padding: 1 pad_value: 9 } } pipeline { normalize {} }";
  const auto pipeline = Make(steps, Manifest(0, 0, 3));
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ(pipeline->height(), 8);
  EXPECT_FALSE(pipeline->on_device());
  for (const auto& [height, width] : {std::pair(12, 9), {7, 30}, {8, 8}}) {
    // The result must be the same as for a data set whose images all have this size.
    const auto fixed = Make(steps, Manifest(height, width, 3));
    ASSERT_TRUE(fixed.ok()) << fixed.status();
    EXPECT_TRUE(fixed->on_device());
    for (int64_t index = 0; index < 20; ++index) {
      std::vector<float> varying(size_t{8} * 8 * 3), expected(varying.size());
      Apply(*pipeline, Pixels(height, width), 0, index, &varying, {3, height, width});
      Apply(*fixed, Pixels(height, width), 0, index, &expected, {3, height, width});
      EXPECT_EQ(varying, expected) << height << "x" << width << ", " << index;
    }
  }
}

TEST(Pipeline, PadsAnImageThatIsSmallerThanARandomCrop) {
  const auto pipeline =
      Make("pipeline { random_crop { size: 8 pad_value: 9 } }", Manifest(0, 0, 3));
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  std::vector<float> out(size_t{8} * 8 * 3);
  Apply(*pipeline, Pixels(5, 4), 0, 0, &out, {3, 5, 4});
  const std::vector<uint8_t> pixels = Pixels(5, 4);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      // 3 rows are missing: 1 is added above and 2 below. 4 columns are missing: 2 are added on
      // either side.
      const bool inside = y >= 1 && y < 6 && x >= 2 && x < 6;
      EXPECT_EQ(out[At(y, x, 8)], inside ? pixels[At(y - 1, x - 2, 4)] : 9) << y << ", " << x;
    }
  }
}

TEST(Pipeline, RefusesToLeaveImagesOfDifferentSizes) {
  for (const char* steps :
       {"", "pipeline { random_flip {} } pipeline { normalize {} }", "pipeline { grayscale {} }"}) {
    EXPECT_EQ(Make(steps, Manifest(0, 0, 3)).status().message(),
              "pipeline: leaves images of different sizes; add random_resized_crop, or resize_edge "
              "and center_crop, or resize, so that all get one size");
  }
}

// A config can be checked before the data set, and so the size of its images, is known.
TEST(Pipeline, ChecksAConfigWithoutData) {
  SplitConfig split;
  split.add_pipeline()->mutable_normalize();
  ProblemList found;
  Pipeline::Check(split, ImageShape(), /*training=*/true, Problems(&found));
  EXPECT_TRUE(found.status().ok()) << found.status();
}

TEST(PipelineTest, NormalizeTakesTheGivenStatisticsWhereItHasNoneOfItsOwn) {
  const DatasetManifest manifest = Manifest(kHeight, kWidth, 3);
  const auto make = [&](const std::string& steps, const PixelStatistics* statistics) {
    SplitConfig split;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(steps, &split));
    return Pipeline::Create(split, manifest, statistics);
  };
  const PixelStatistics given{{100, 101, 102}, {2, 4, 8}};
  const auto taken = make("pipeline { normalize {} }", &given);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->statistics().mean, given.mean);
  EXPECT_EQ(taken->normalize().scale()[2], 0.125f);
  EXPECT_EQ(taken->normalize().shift()[2], -102 / 8.f);

  const auto own = make("pipeline { normalize { mean: [1, 2, 3] std: [4, 4, 4] } }", &given);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->statistics().mean, (std::vector<double>{1, 2, 3}));

  const auto manifests = make("pipeline { normalize {} }", nullptr);
  ASSERT_TRUE(manifests.ok()) << manifests.status();
  EXPECT_EQ(manifests->statistics().mean, (std::vector<double>{0, 10, 20}));

  const auto none = make("pipeline { random_flip {} }", &given);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->statistics().mean.empty());

  const PixelStatistics grey{{100}, {2}};
  const absl::Status status = make("pipeline { normalize {} }", &grey).status();
  EXPECT_EQ(status.message(),
            "pipeline[0].normalize: takes the mean and std of the training images, which have 1 "
            "channel; the images here have 3");
}

std::optional<NeededPart> NeedOf(const std::string& steps, const ImageShape& shape,
                                 std::vector<int64_t>* draws) {
  const auto pipeline = Make(steps, Manifest(0, 0, 3));
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  draws->resize(pipeline->draws());
  pipeline->Draw(/*seed=*/1, 0, 0, shape, draws->data());
  return pipeline->NeedOf(shape, draws->data());
}

TEST(Pipeline, NeedsThePartThatItsFirstStepTakes) {
  const ImageShape shape = {3, 40, 50};
  const ImageRectangle whole = {0, 0, 40, 50};
  std::vector<int64_t> draws;
  auto need = NeedOf("pipeline { random_resized_crop { height: 9 width: 7 antialias: true } }",
                     shape, &draws);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(
      (std::vector<int64_t>{need->part.top, need->part.left, need->part.height, need->part.width}),
      draws);
  EXPECT_EQ(need->resized, (ImageSize{9, 7}));

  need = NeedOf(
      "pipeline { resize_edge { size: 20 antialias: true } } pipeline { center_crop { size: 20 } }",
      shape, &draws);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->part, whole);
  EXPECT_EQ(need->resized, (ImageSize{20, 25}));

  // Without antialiasing the pixels at full scale are needed.
  need = NeedOf("pipeline { resize { size: 9 } }", shape, &draws);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->resized, (ImageSize{0, 0}));

  // rounding: UINT8 gives exactly another program's bytes, so it needs the pixels at full scale
  // too.
  need = NeedOf("pipeline { resize { size: 9 antialias: true rounding: UINT8 } }", shape, &draws);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->resized, (ImageSize{0, 0}));

  need = NeedOf("pipeline { center_crop { size: 12 } } pipeline { resize { size: 3 } }", shape,
                &draws);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->part, (ImageRectangle{14, 19, 12, 12}));
  EXPECT_EQ(need->resized, (ImageSize{0, 0})) << "the second step does not count";

  // The square is larger than the image, so only its part inside the image is needed; the rest is
  // padding.
  need = NeedOf("pipeline { center_crop { size: 44 pad_value: 1 } }", shape, &draws);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->part, (ImageRectangle{0, 3, 40, 44}));

  EXPECT_FALSE(NeedOf("pipeline { random_flip {} } pipeline { random_resized_crop { size: 9 } }",
                      shape, &draws)
                   .has_value());
}

// Returns the pixels [height, width, 3] of a rectangle of the image `pixels`, whose width is
// `width`.
std::vector<uint8_t> Cut(const std::vector<uint8_t>& pixels, int width,
                         const ImageRectangle& part) {
  std::vector<uint8_t> cut;
  for (int y = part.top; y < part.top + part.height; ++y) {
    const auto begin = pixels.begin() + static_cast<ptrdiff_t>(At(y, part.left, width));
    cut.insert(cut.end(), begin, begin + ptrdiff_t{3} * part.width);
  }
  return cut;
}

TEST(Pipeline, APartGivesTheBitsOfTheWhole) {
  const ImageShape shape = {3, 40, 50};
  const std::vector<uint8_t> pixels = Pixels(shape.height, shape.width);
  for (const std::string step :
       {"random_resized_crop { size: 9 }", "random_resized_crop { size: 60 }",
        "random_resized_crop { size: 9 antialias: true interpolation: BICUBIC }",
        "random_resized_crop { size: 9 antialias: true rounding: UINT8 }",
        "random_resized_crop { size: 9 interpolation: BICUBIC }",
        "random_resized_crop { size: 9 rounding: UINT8 }", "random_crop { size: 9 padding: 5 }",
        "random_crop { size: 38 padding: 5 pad_value: 7 }", "random_crop { size: 2 padding: 9 }",
        "center_crop { size: 45 pad_value: 3 }", "resize { size: 9 }"}) {
    for (const std::string rest :
         {"",
          "pipeline { random_flip {} } pipeline { normalize { mean: [1, 2, 3] std: [4, 5, 6] } }",
          "pipeline { random_crop { size: 8 padding: 7 } }"}) {
      const auto pipeline = Make("pipeline { " + step + " } " + rest, Manifest(0, 0, 3));
      ASSERT_TRUE(pipeline.ok()) << pipeline.status();
      std::vector<int64_t> draws(pipeline->draws());
      Pipeline::Scratch scratch;
      const size_t values = size_t{3} * pipeline->height() * pipeline->width();
      std::vector<float> expected(values), of_part(values), of_more(values);
      for (int64_t index = 0; index < 40; ++index) {
        SCOPED_TRACE(absl::StrCat(step, " ", rest, " ", index));
        pipeline->Draw(/*seed=*/1, 0, index, shape, draws.data());
        pipeline->Apply(pixels, shape, draws.data(), &scratch, expected.data());
        const auto need = pipeline->NeedOf(shape, draws.data());
        if (!need.has_value()) continue;
        const ImageSize whole = {shape.height, shape.width};
        const auto apply = [&](const ImageRectangle& part, std::vector<float>* out) {
          pipeline->ApplyToPart(Cut(pixels, shape.width, part), {3, part.height, part.width},
                                {whole, 1, 1.0 * part.top, 1.0 * part.left}, draws.data(), &scratch,
                                out->data());
        };
        apply(need->part, &of_part);
        ASSERT_EQ(of_part, expected);
        // The result must not change if a decoder returns more than the needed part.
        const ImageRectangle& part = need->part;
        apply({part.top / 2, part.left / 2, part.top - part.top / 2 + part.height,
               part.left - part.left / 2 + part.width},
              &of_more);
        ASSERT_EQ(of_more, expected);
      }
    }
  }
}

// The image's values are a linear function of the position. So the value of a scaled pixel is
// known: the function at the pixel's centre.
TEST(Pipeline, AScaledPartGivesTheResultAtTheSamePlace) {
  const ImageShape shape = {3, 61, 75};
  const auto slope = [](double y, double x) { return 20 + 2 * y + x; };
  std::vector<uint8_t> pixels;
  for (int y = 0; y < shape.height; ++y) {
    for (int x = 0; x < shape.width; ++x) {
      pixels.insert(pixels.end(), 3, static_cast<uint8_t>(slope(y, x)));
    }
  }
  for (const std::string options : {"", " antialias: true", " interpolation: BICUBIC",
                                    " interpolation: BICUBIC antialias: true"}) {
    const auto pipeline =
        Make("pipeline { random_resized_crop { size: 12 min_area: 0.3" + options + " } }",
             Manifest(0, 0, 3));
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    std::vector<int64_t> draws(pipeline->draws());
    Pipeline::Scratch scratch;
    std::vector<float> expected(size_t{3} * 12 * 12), scaled(expected.size());
    for (int64_t index = 0; index < 40; ++index) {
      SCOPED_TRACE(absl::StrCat(options, " ", index));
      pipeline->Draw(/*seed=*/1, 0, index, shape, draws.data());
      pipeline->Apply(pixels, shape, draws.data(), &scratch, expected.data());
      const ImageRectangle part = pipeline->NeedOf(shape, draws.data())->part;
      // The part at half the size. Its first row begins half a scaled pixel before a pixel of the
      // scaled whole image, as happens if an image with an odd side was mirrored.
      const PartPlace place = {
          {shape.height, shape.width}, 0.5, part.top / 2 - 0.5, std::floor(part.left / 2.0)};
      const int height = static_cast<int>(std::ceil((part.top + part.height) * 0.5 - place.top));
      const int width = static_cast<int>(std::ceil((part.left + part.width) * 0.5 - place.left));
      std::vector<uint8_t> half;
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const double value =
              slope((y + 0.5 + place.top) * 2 - 0.5, (x + 0.5 + place.left) * 2 - 0.5);
          // `value` is a whole number and a half. The half is left out here and added to the result
          // below.
          half.insert(half.end(), 3, static_cast<uint8_t>(value - 0.5));
        }
      }
      pipeline->ApplyToPart(half, {3, height, width}, place, draws.data(), &scratch, scaled.data());
      for (size_t i = 0; i < scaled.size(); ++i) {
        // Near the rectangle's edge the results differ more, because the filter is cut off at other
        // positions.
        const size_t row = i / 36, column = i / 3 % 12;
        const bool inside = row > 2 && row < 9 && column > 2 && column < 9;
        ASSERT_NEAR(scaled[i] + 0.5, expected[i], inside ? 0.6 : 5) << row << " " << column;
      }
    }
  }
}

}  // namespace
}  // namespace finetune
