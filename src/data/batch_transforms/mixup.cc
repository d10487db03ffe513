#include "src/data/batch_transforms/mixup.h"

#include <ATen/TensorOperators.h>

#include <cstdint>

#include "src/data/batch_transforms/beta.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

// Moves a[i] and b[i] towards each other, each by `rest` (0 to 1) times their difference.
FT_VECTORISED void Mix(float rest, int64_t n, float* __restrict a, float* __restrict b) {
  for (int64_t i = 0; i < n; ++i) {
    const float moved = (b[i] - a[i]) * rest;
    a[i] += moved;
    b[i] -= moved;
  }
}
FT_VECTORISED void Mix(float rest, int64_t n, uint16_t* __restrict a, uint16_t* __restrict b) {
  for (int64_t i = 0; i < n; ++i) {
    const float own = FromBfloat16(a[i]), other = FromBfloat16(b[i]);
    const float moved = (other - own) * rest;
    a[i] = ToBfloat16(own + moved);
    b[i] = ToBfloat16(other - moved);
  }
}

class Mixup : public BatchTransform {
 public:
  explicit Mixup(double alpha) : alpha_(alpha) {}

  int draws() const override { return 1; }
  void Draw(RandomStream* random, const ImageShape& shape, float* draws) const override {
    *draws = static_cast<float>(DrawSymmetricBeta(alpha_, random));
  }

  void Apply(const float* draws, const ImageShape& shape, float* a, float* b) const override {
    Mix(1 - *draws, Values(shape), a, b);
  }
  void Apply(const float* draws, const ImageShape& shape, Bfloat16* a, Bfloat16* b) const override {
    Mix(1 - *draws, Values(shape), Raw(a), Raw(b));
  }

  void ApplyOnDevice(const at::Tensor& draws, const at::Tensor& a,
                     const at::Tensor& b) const override {
    const at::Tensor moved = (b - a).mul_(1 - draws[0]);
    a.add_(moved);
    b.sub_(moved);
  }

 private:
  static int64_t Values(const ImageShape& shape) {
    return int64_t{1} * shape.height * shape.width * shape.channels;
  }

  const double alpha_;
};

}  // namespace

std::unique_ptr<BatchTransform> MakeMixup(const MixupConfig& config, const Problems& problems) {
  if (!problems.Positive("alpha", config.alpha())) return nullptr;
  return std::make_unique<Mixup>(config.alpha());
}

}  // namespace finetune
