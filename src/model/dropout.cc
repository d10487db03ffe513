#include "src/model/dropout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "src/base/philox.h"

namespace finetune {

namespace {

// Returns [images, draws] float32: each element is 0 with probability `probability`, else 1 / (1 -
// probability). `stream`: separates the draws of several layers.
at::Tensor Factors(int64_t draws, float probability, uint64_t seed, RandomPurpose purpose,
                   const ForwardContext& context, uint32_t stream) {
  at::Tensor factors = at::empty({static_cast<int64_t>(context.indices.size()), draws});
  auto* factor = factors.mutable_data_ptr<float>();
  const float kept = 1 / (1 - probability);
  for (const int64_t index : context.indices) {
    RandomStream random(seed, purpose, static_cast<uint32_t>(context.iteration),
                        static_cast<uint64_t>(index), stream);
    for (int64_t i = 0; i < draws; ++i) {
      *factor++ = random.Uniform() < probability ? 0.0F : kept;
    }
  }
  return factors;
}

void CheckIndices(const at::Tensor& x, const ForwardContext& context) {
  TORCH_CHECK_VALUE(static_cast<int64_t>(context.indices.size()) == x.size(0), "dropout got ",
                    x.size(0), " images and ", context.indices.size(), " indices");
}

}  // namespace

at::Tensor Dropout(const at::Tensor& x, float probability, uint64_t seed,
                   const ForwardContext& context, uint32_t layer) {
  CheckIndices(x, context);
  return x * Factors(x.size(1), probability, seed, RandomPurpose::kDropout, context, layer)
                 .to(x.device());
}

at::Tensor DropPath(const at::Tensor& x, float probability, uint64_t seed,
                    const ForwardContext& context, uint32_t block) {
  CheckIndices(x, context);
  std::vector<int64_t> shape(x.dim(), 1);
  shape[0] = x.size(0);
  return x * Factors(/*draws=*/1, probability, seed, RandomPurpose::kDropPath, context, block)
                 .view(shape)
                 .to(x.options());
}

}  // namespace finetune
