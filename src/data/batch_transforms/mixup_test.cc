#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/base/bfloat16.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch.h"
#include "src/data/batch_transforms/all.h"
#include "src/data/batch_transforms/testing.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

std::unique_ptr<BatchTransform> Make() { return MakeBatchTransform("mixup { alpha: 1 }"); }

float Draw(const BatchTransform& mixup, int64_t iteration) {
  RandomStream random(/*seed=*/5, RandomPurpose::kBatchTransform, /*epoch=*/0,
                      static_cast<uint64_t>(iteration));
  float share = -1;
  mixup.Draw(&random, ImageShape(), &share);
  return share;
}

// A result of torchvision's MixUp: the two images before mixing and after, and the targets after.
struct Case {
  float share;
  std::vector<int64_t> labels;
  std::vector<float> images, mixed, targets;  // first image, then second
};

struct Fixture {
  ImageShape shape;
  int64_t classes = 0;
  std::vector<Case> cases;
};

Fixture ReadFixture() {
  std::ifstream file("tests/fixtures/data/mixup.json");
  const nlohmann::json json = nlohmann::json::parse(file);
  Fixture fixture{{json["channels"], json["height"], json["width"]}, json["classes"], {}};
  for (const nlohmann::json& one : json["cases"]) {
    fixture.cases.push_back(
        {one["share"], one["labels"], one["images"], one["mixed"], one["targets"]});
  }
  EXPECT_GE(fixture.cases.size(), 5u);
  return fixture;
}

// The tolerance: a few roundings of float32 for values up to 3.
constexpr float kRounding = 1e-6f;

TEST(MixupTest, MixesAsTorchvisionDoes) {
  const Fixture fixture = ReadFixture();
  for (const Case& expected : fixture.cases) {
    std::vector<float> images = expected.images;
    Make()->Apply(&expected.share, fixture.shape, images.data(), images.data() + images.size() / 2);
    for (size_t i = 0; i < images.size(); ++i) {
      EXPECT_NEAR(images[i], expected.mixed[i], kRounding) << expected.share << ", value " << i;
    }
  }
}

TEST(MixupTest, MixesOnTheDeviceAsTorchvisionDoes) {
  const Fixture fixture = ReadFixture();
  for (const Case& expected : fixture.cases) {
    const at::Tensor pairs =
        ApplyOnDevice(*Make(), {expected.share}, expected.images, fixture.shape);
    const at::Tensor mixed = ImagePair(expected.mixed, fixture.shape);
    EXPECT_LE(pairs.sub(mixed).abs().max().item<float>(), kRounding) << expected.share;
  }
}

TEST(MixupTest, RoundsToBfloat16Once) {
  const Fixture fixture = ReadFixture();
  for (const Case& expected : fixture.cases) {
    std::vector<Bfloat16> narrow;
    std::vector<float> wide;
    for (const float value : expected.images) {
      narrow.push_back({ToBfloat16(value)});
      wide.push_back(FromBfloat16(narrow.back().bits));
    }
    const auto mixup = Make();
    mixup->Apply(&expected.share, fixture.shape, wide.data(), wide.data() + wide.size() / 2);
    mixup->Apply(&expected.share, fixture.shape, narrow.data(), narrow.data() + narrow.size() / 2);
    for (size_t i = 0; i < wide.size(); ++i) {
      // The tolerance is half a unit in the last of bfloat16's 8 significant bits.
      EXPECT_NEAR(FromBfloat16(narrow[i].bits), wide[i], std::abs(wide[i]) / 256 + kRounding) << i;
    }
  }
}

TEST(MixupTest, MixesLabelsAsTorchvisionDoes) {
  const Fixture fixture = ReadFixture();
  for (const Case& expected : fixture.cases) {
    Batch batch;
    batch.labels = at::tensor(expected.labels).to(TestDevice());
    batch.partner_labels = batch.labels.flip(0);
    batch.mixing = at::tensor({expected.share}).to(TestDevice());
    const at::Tensor targets = Targets(batch, fixture.classes).to(at::kCPU);
    ASSERT_EQ(targets.sizes(), (std::vector<int64_t>{2, fixture.classes}));
    EXPECT_TRUE(targets.sum(1).eq(1).all().item<bool>()) << targets;
    const at::Tensor mixed = at::tensor(expected.targets).view({2, fixture.classes});
    EXPECT_LE(targets.sub(mixed).abs().max().item<float>(), kRounding) << expected.share;
  }
}

TEST(MixupTest, LabelsOfAnyShareAddUpToOne) {
  const auto mixup = Make();
  for (int64_t i = 0; i < 1000; ++i) {
    Batch batch;
    batch.labels = at::tensor({int64_t{0}, int64_t{1}, int64_t{2}});
    batch.partner_labels = at::tensor({int64_t{1}, int64_t{0}, int64_t{2}});
    batch.mixing = at::tensor({Draw(*mixup, i)});
    EXPECT_TRUE(Targets(batch, 3).sum(1).eq(1).all().item<bool>()) << Draw(*mixup, i);
  }
}

TEST(MixupTest, LabelsStayLabelsWithoutABatchTransform) {
  Batch batch;
  batch.labels = at::tensor({int64_t{0}, int64_t{2}});
  EXPECT_TRUE(Targets(batch, 3).is_same(batch.labels));
}

TEST(MixupTest, AcceptsAnEmptyBatch) {
  Batch batch;
  batch.labels = batch.partner_labels = at::empty({0}, at::kLong);
  batch.mixing = at::tensor({0.5f});
  EXPECT_EQ(Targets(batch, 3).sizes(), (std::vector<int64_t>{0, 3}));
}

TEST(MixupTest, EachIterationDrawsAnotherLambda) {
  const auto mixup = Make();
  EXPECT_EQ(Draw(*mixup, 3), Draw(*mixup, 3));
  for (int64_t i = 1; i < 100; ++i) EXPECT_NE(Draw(*mixup, i), Draw(*mixup, 0)) << i;
}

TEST(MixupTest, RefusesAnAlphaThatHasNoDistribution) {
  ProblemList found;
  EXPECT_EQ(MakeBatchTransform("mixup { alpha: 0 }", &found), nullptr);
  EXPECT_EQ(MakeBatchTransform("mixup { alpha: inf }", &found), nullptr);
  EXPECT_EQ(MakeBatchTransform(BatchTransformConfig(), Problems(&found, "batch_transform")),
            nullptr);
  EXPECT_EQ(found.status().message(),
            "mixup.alpha: is 0; expected more than 0\n"
            "mixup.alpha: is inf; expected a finite number\n"
            "batch_transform: has no kind; set mixup { } or cutmix { }");
}

}  // namespace
}  // namespace finetune
