#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_TESTING_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_TESTING_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/all.h"
#include "src/testing/from_text.h"
#include "tests/test_device.h"

namespace finetune {

// Returns the batch transform of a config in text format, such as "mixup { alpha: 1 }". If the
// config is wrong, returns null and adds the errors to `found`.
inline std::unique_ptr<BatchTransform> MakeBatchTransform(const std::string& config,
                                                          ProblemList* found) {
  return MakeBatchTransform(FromText<BatchTransformConfig>(config), Problems(found));
}

// As above, but fails the test if the config is wrong.
inline std::unique_ptr<BatchTransform> MakeBatchTransform(const std::string& config) {
  ProblemList found;
  std::unique_ptr<BatchTransform> transform = MakeBatchTransform(config, &found);
  EXPECT_NE(transform, nullptr) << found.status();
  return transform;
}

// Returns the two images in `images` as one pair of the shape [pairs = 1, 2, H, W, C].
inline at::Tensor ImagePair(const std::vector<float>& images, const ImageShape& shape) {
  return at::tensor(images).view({1, 2, shape.height, shape.width, shape.channels});
}

// Applies the transform on the test device to a batch of two pairs, both of which are the two
// images in `images`. Returns the mixed pairs as a CPU tensor [2, 2, H, W, C].
inline at::Tensor ApplyOnDevice(const BatchTransform& transform, const std::vector<float>& draws,
                                const std::vector<float>& images, const ImageShape& shape) {
  // [2, 2, H, W, C]: the pair (a, b) twice.
  at::Tensor pairs = ImagePair(images, shape).repeat({2, 1, 1, 1, 1}).to(TestDevice());
  transform.ApplyOnDevice(at::tensor(draws).to(TestDevice()), pairs.select(1, 0),
                          pairs.select(1, 1));
  return pairs.to(at::kCPU);
}

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_TESTING_H_
