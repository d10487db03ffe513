#include "src/model/dropout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include "src/base/philox.h"

namespace finetune {

at::Tensor Dropout(const at::Tensor& x, float probability, uint64_t seed,
                   const ForwardContext& context) {
  const int64_t images = x.size(0), channels = x.size(1);
  TORCH_CHECK_VALUE(static_cast<int64_t>(context.indices.size()) == images, "dropout got ", images,
                    " images and ", context.indices.size(), " indices");
  at::Tensor factors = at::empty({images, channels});
  auto* factor = factors.mutable_data_ptr<float>();
  const float kept = 1 / (1 - probability);
  for (const int64_t index : context.indices) {
    RandomStream random(seed, RandomPurpose::kDropout, static_cast<uint32_t>(context.iteration),
                        static_cast<uint64_t>(index));
    for (int64_t c = 0; c < channels; ++c) {
      *factor++ = random.Uniform() < probability ? 0.0F : kept;
    }
  }
  return x * factors.to(x.device());
}

}  // namespace finetune
