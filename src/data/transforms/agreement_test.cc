// Compares each transform with torchvision, Pillow, OpenCV or mmcv, given the same draws. The
// pixels must match on the CPU, on the device, and with the transform as the last step of a
// pipeline.

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <google/protobuf/text_format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/config/problems.h"
#include "src/data/transforms/all.h"
#include "src/data/transforms/normalize.h"
#include "src/data/transforms/transform.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

std::unique_ptr<Transform> Make(const std::string& text, const ImageShape& input) {
  TransformConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  ProblemList found;
  std::unique_ptr<Transform> transform = MakeTransform(config, input, Problems(&found));
  EXPECT_TRUE(found.status().ok()) << found.status();
  return transform;
}

// Returns the test image, which tests/fixtures/data/make_transforms.py computes by the same
// formula.
Image Formula(const ImageShape& shape) {
  Image image;
  image.shape = shape;
  for (int y = 0; y < shape.height; ++y) {
    for (int x = 0; x < shape.width; ++x) {
      for (int c = 0; c < shape.channels; ++c) {
        image.values.push_back(static_cast<float>((7 * y + 13 * x + 31 * c + 5 * y * x) % 256));
      }
    }
  }
  return image;
}

ImageShape ShapeOf(const nlohmann::json& json) { return {json[0], json[1], json[2]}; }

std::vector<int64_t> DrawsOf(const nlohmann::json& json, const Transform& transform,
                             const ImageShape& shape) {
  std::vector<int64_t> draws;
  if (json.is_string()) {
    draws.resize(transform.draws());
    RandomStream random(/*seed=*/1, RandomPurpose::kAugmentation, 0, 0);
    transform.Draw(&random, shape, draws.data());
    return draws;
  }
  for (const nlohmann::json& draw : json) {
    draws.push_back(draw.is_number_float() ? std::bit_cast<int64_t>(draw.get<double>())
                                           : draw.get<int64_t>());
  }
  EXPECT_EQ(draws.size(), static_cast<size_t>(transform.draws()));
  return draws;
}

struct Case {
  std::unique_ptr<Transform> transform;
  ImageShape shape, expected_shape;
  std::vector<int64_t> draws;
  std::vector<float> expected;
  double tolerance;
};

template <typename Check>
void ForEachCase(const Check& check) {
  std::ifstream file("tests/fixtures/data/transforms.json");
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  ASSERT_GT(cases.size(), 80u);
  for (const nlohmann::json& json : cases) {
    SCOPED_TRACE(json.at("name").get<std::string>());
    Case one;
    one.shape = ShapeOf(json.at("shape"));
    one.expected_shape = ShapeOf(json.at("expected_shape"));
    one.transform = Make(json.at("transform"), one.shape);
    ASSERT_NE(one.transform, nullptr);
    one.draws = DrawsOf(json.at("draws"), *one.transform, one.shape);
    one.expected = json.at("expected").get<std::vector<float>>();
    one.tolerance = json.at("tolerance");
    check(one);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(TransformsTest, AgreeWithTorchvisionPillowAndOpenCv) {
  ForEachCase([](const Case& one) {
    Image image = Formula(one.shape);
    one.transform->Apply(one.draws.data(), &image);
    ASSERT_EQ(image.shape, one.expected_shape);
    ASSERT_EQ(image.values.size(), one.expected.size());
    for (size_t i = 0; i < one.expected.size(); ++i) {
      ASSERT_NEAR(image.values[i], one.expected[i], one.tolerance) << i;
    }
  });
}

// If the images of a data set have different sizes, a transform must work with the size of each
// image.
TEST(TransformsTest, FollowTheShapeOfEachImage) {
  ForEachCase([](const Case& one) {
    EXPECT_EQ(one.transform->OutputOf(one.shape, one.draws.data()), one.expected_shape);
  });
  std::ifstream file("tests/fixtures/data/transforms.json");
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  for (const nlohmann::json& json : cases) {
    SCOPED_TRACE(json.at("name").get<std::string>());
    const ImageShape shape = ShapeOf(json.at("shape"));
    const auto fixed = Make(json.at("transform"), shape);
    const auto varying = Make(json.at("transform"), {shape.channels, 0, 0});
    const std::vector<int64_t> draws = DrawsOf(json.at("draws"), *varying, shape);
    EXPECT_EQ(draws, DrawsOf(json.at("draws"), *fixed, shape));
    Image expected = Formula(shape), image = Formula(shape);
    fixed->Apply(draws.data(), &expected);
    varying->Apply(draws.data(), &image);
    EXPECT_EQ(image.shape, expected.shape);
    EXPECT_EQ(image.values, expected.values);
  }
}

TEST(TransformsTest, OnTheDeviceAreTheSame) {
  ForEachCase([](const Case& one) {
    if (!one.transform->on_device()) return;
    Image image = Formula(one.shape);
    // A batch of two images, so that the test fails if a transform applies one image's draws to
    // all.
    const at::Tensor images = at::tensor(image.values)
                                  .view({1, one.shape.height, one.shape.width, one.shape.channels})
                                  .repeat({2, 1, 1, 1})
                                  .to(TestDevice());
    const at::Tensor draws = at::tensor(one.draws, at::kLong)
                                 .view({1, static_cast<int64_t>(one.draws.size())})
                                 .repeat({2, 1})
                                 .to(TestDevice());
    const at::Tensor made =
        one.transform->OnDevice(TestDevice())->Apply(images, draws).to(at::kCPU);
    one.transform->Apply(one.draws.data(), &image);
    const at::Tensor expected = at::tensor(image.values)
                                    .view({one.expected_shape.height, one.expected_shape.width,
                                           one.expected_shape.channels});
    ASSERT_EQ(made.sizes().slice(1), expected.sizes());
    EXPECT_LE((made - expected).abs().max().item<double>(), 1e-3);
  });
}

TEST(TransformsTest, NormalizeInTheSamePass) {
  ForEachCase([](const Case& one) {
    NormalizeConfig config;
    for (int c = 0; c < one.expected_shape.channels; ++c) {
      config.add_mean(static_cast<float>(100 + c));
      config.add_std(static_cast<float>(2 << c));
    }
    ProblemList found;
    const auto normalize =
        Normalize::Create(config, one.expected_shape.channels, nullptr, Problems(&found));
    ASSERT_TRUE(normalize.has_value());
    Image image = Formula(one.shape), plain = Formula(one.shape), narrow = Formula(one.shape);
    one.transform->Apply(one.draws.data(), &plain);
    std::vector<float> wide(plain.values.size());
    std::vector<Bfloat16> rounded(wide.size());
    one.transform->Finish(one.draws.data(), *normalize, &image, wide.data());
    one.transform->Finish(one.draws.data(), *normalize, &narrow, rounded.data());
    for (size_t i = 0; i < wide.size(); ++i) {
      const auto c = static_cast<int>(i % one.expected_shape.channels);
      const float expected =
          (plain.values[i] - static_cast<float>(100 + c)) / static_cast<float>(2 << c);
      ASSERT_NEAR(wide[i], expected, 1e-3) << i;
      ASSERT_NEAR(FromBfloat16(rounded[i].bits), expected, std::abs(expected) / 256 + 1e-3) << i;
    }
  });
}

TEST(TransformsTest, DrawTheRectanglesThatTorchvisionDraws) {
  std::ifstream file("tests/fixtures/data/draws.json");
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  ASSERT_GT(cases.size(), 5u);
  for (const nlohmann::json& json : cases) {
    const ImageShape shape = {3, json.at("height"), json.at("width")};
    SCOPED_TRACE(json.at("transform").get<std::string>() + std::to_string(shape.height) + "x" +
                 std::to_string(shape.width));
    const auto transform = Make(json.at("transform"), {3, 0, 0});
    uint64_t index = 0;
    for (const std::vector<int64_t> expected : json.at("drawn")) {
      RandomStream random(/*seed=*/7, RandomPurpose::kAugmentation, 0, index++);
      std::vector<int64_t> draws(transform->draws());
      transform->Draw(&random, shape, draws.data());
      EXPECT_EQ(draws, expected) << index;
    }
  }
}

TEST(TransformsTest, DrawTheOperationsOfAutoAugmentThatTorchvisionDraws) {
  std::ifstream file("tests/fixtures/data/auto_augment.json");
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  ASSERT_EQ(cases.size(), 4u);
  for (const nlohmann::json& json : cases) {
    const ImageShape shape = {3, json.at("height"), json.at("width")};
    SCOPED_TRACE(json.at("transform").get<std::string>());
    const auto transform = Make(json.at("transform"), shape);
    uint64_t index = 0;
    for (const nlohmann::json& expected : json.at("drawn")) {
      RandomStream random(/*seed=*/7, RandomPurpose::kAugmentation, 0, index++);
      std::vector<int64_t> draws(transform->draws());
      transform->Draw(&random, shape, draws.data());
      // kIdentity, 0, stands for an operation that is left out.
      size_t applied = 0;
      for (size_t i = 0; i < draws.size(); i += 2) {
        if (draws[i] == 0) continue;
        ASSERT_LT(applied, expected.size()) << index;
        EXPECT_EQ(draws[i], expected[applied][0].get<int64_t>()) << index;
        EXPECT_NEAR(std::bit_cast<double>(draws[i + 1]), expected[applied][1].get<double>(), 1e-5)
            << index;
        ++applied;
      }
      EXPECT_EQ(applied, expected.size()) << index;
    }
  }
}

}  // namespace
}  // namespace finetune
