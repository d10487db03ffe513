#include "src/data/transforms/transform.h"

#include "src/data/transforms/normalize.h"

namespace finetune {

at::Tensor DeviceTransform::Finish(const at::Tensor& images, const at::Tensor& draws,
                                   const DeviceNormalize& normalize) const {
  return normalize.Apply(Apply(images, draws));
}

void Transform::Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                       float* out) const {
  Apply(draws, image);
  normalize.Write(image, out);
}

void Transform::Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                       Bfloat16* out) const {
  Apply(draws, image);
  normalize.Write(image, out);
}

}  // namespace finetune
