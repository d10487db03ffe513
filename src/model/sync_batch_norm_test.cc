#include <ATen/TensorOperators.h>

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "src/model/loss.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

TEST(SyncBatchNormModelTest, MakesTwoRanksTrainAsOneDoesWithTheWholeBatch) {
  constexpr char kModel[] =
      "backbone { resnet { depth: 18 base_channels: 4 stem: CIFAR } } head { num_classes: 3 }";
  const at::Tensor images = ByFormula("images", {6, 3, 16, 16});
  const at::Tensor labels = ByFormula("labels", {6}, 1.5, 1.5).to(at::kLong);
  const auto whole = MakeModel(kModel);
  CrossEntropySum(whole->Forward(images, kTraining), labels, 0).backward();

  const std::vector<int64_t> starts = {0, 2, 6};
  std::vector<std::unique_ptr<Classifier>> models(2);
  Ranks(2).Run([&](int rank, const SumOverRanks& sum) {
    ClassifierOptions options;
    options.mode.sum_over_ranks = sum;
    models[rank] = MakeModel(kModel, options);
    const int64_t begin = starts[rank], count = starts[rank + 1] - begin;
    CrossEntropySum(models[rank]->Forward(images.narrow(0, begin, count), kTraining),
                    labels.narrow(0, begin, count), 0)
        .backward();
  });
  for (const NamedTensor& parameter : whole->parameters()) {
    const at::Tensor sum =
        Named(*models[0], parameter.name).grad() + Named(*models[1], parameter.name).grad();
    EXPECT_LT(RelativeError(sum, parameter.tensor.grad()), 1e-4) << parameter.name;
  }
  for (const NamedTensor& buffer : whole->buffers()) {
    EXPECT_LT(RelativeError(Named(*models[1], buffer.name), buffer.tensor), 1e-5) << buffer.name;
  }
}

}  // namespace
}  // namespace finetune
