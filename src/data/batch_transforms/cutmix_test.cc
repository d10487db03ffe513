#include <ATen/TensorOperators.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/base/bfloat16.h"
#include "src/base/philox.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/all.h"
#include "src/data/batch_transforms/testing.h"

namespace finetune {
namespace {

std::unique_ptr<BatchTransform> Make() { return MakeBatchTransform("cutmix { alpha: 1 }"); }

std::vector<float> Draw(const BatchTransform& cutmix, const ImageShape& shape, int64_t iteration) {
  RandomStream random(/*seed=*/5, RandomPurpose::kBatchTransform, /*epoch=*/0,
                      static_cast<uint64_t>(iteration));
  std::vector<float> draws(cutmix.draws());
  cutmix.Draw(&random, shape, draws.data());
  return draws;
}

// A result of torchvision's CutMix: our draws for the same rectangle, the two images before mixing,
// and the two images after.
struct Case {
  ImageShape shape;
  std::vector<float> draws, images, mixed;
};

std::vector<Case> ReadFixture() {
  std::ifstream file("tests/fixtures/data/cutmix.json");
  const nlohmann::json json = nlohmann::json::parse(file);
  std::vector<Case> cases;
  for (const nlohmann::json& one : json.at("cases")) {
    cases.push_back({{one["channels"], one["height"], one["width"]},
                     one["draws"],
                     one["images"],
                     one["mixed"]});
  }
  EXPECT_GE(cases.size(), 5u);
  return cases;
}

TEST(CutMixTest, ExchangesTheRectangleThatTorchvisionReplaces) {
  for (const Case& expected : ReadFixture()) {
    std::vector<float> images = expected.images;
    Make()->Apply(expected.draws.data(), expected.shape, images.data(),
                  images.data() + images.size() / 2);
    EXPECT_EQ(images, expected.mixed) << expected.draws[0];
    std::vector<Bfloat16> narrow;
    for (const float value : expected.images) narrow.push_back({ToBfloat16(value)});
    Make()->Apply(expected.draws.data(), expected.shape, narrow.data(),
                  narrow.data() + narrow.size() / 2);
    for (size_t i = 0; i < narrow.size(); ++i) {
      EXPECT_EQ(narrow[i].bits, ToBfloat16(expected.mixed[i])) << i;
    }
  }
}

TEST(CutMixTest, ExchangesItOnTheDeviceToo) {
  for (const Case& expected : ReadFixture()) {
    const at::Tensor pairs =
        ApplyOnDevice(*Make(), expected.draws, expected.images, expected.shape);
    EXPECT_TRUE(pairs.eq(ImagePair(expected.mixed, expected.shape)).all().item<bool>())
        << expected.draws[0];
  }
}

TEST(CutMixTest, TheShareIsWhatStaysOfTheImage) {
  const auto cutmix = Make();
  const ImageShape shape = {1, 7, 9};
  std::set<float> shares;
  for (int64_t i = 0; i < 200; ++i) {
    const std::vector<float> draws = Draw(*cutmix, shape, i);
    std::vector<float> a(63, 0), b(63, 1);
    cutmix->Apply(draws.data(), shape, a.data(), b.data());
    int own = 0;
    for (const float value : a) own += value == 0 ? 1 : 0;
    EXPECT_NEAR(draws[0], static_cast<float>(own) / 63, 1e-6) << i;
    shares.insert(draws[0]);
  }
  EXPECT_GT(shares.size(), 20u);
}

TEST(CutMixTest, RefusesAnAlphaThatHasNoDistribution) {
  ProblemList found;
  EXPECT_EQ(MakeBatchTransform("cutmix { alpha: 0 }", &found), nullptr);
  EXPECT_EQ(MakeBatchTransform("cutmix { alpha: inf }", &found), nullptr);
  EXPECT_EQ(found.status().message(),
            "cutmix.alpha: is 0; expected more than 0\n"
            "cutmix.alpha: is inf; expected a finite number");
}

}  // namespace
}  // namespace finetune
