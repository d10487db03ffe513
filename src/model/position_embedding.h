#ifndef FINETUNE_MODEL_POSITION_EMBEDDING_H_
#define FINETUNE_MODEL_POSITION_EMBEDDING_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace finetune {

// The packages that resample a vision transformer's position embeddings for images of another size,
// each in its own way. All interpolate bicubically (Keys 1981, with a = -0.75) between the vectors
// of the patches, and keep the class token's vector.
enum class PositionSource {
  kMmpretrain,          // F.interpolate(); also transformers and finetune
  kTimm,                // F.interpolate(antialias=True), whose cubic has a = -0.5
  kTorchvision,         // F.interpolate(align_corners=True)
  kDinoV2,              // F.interpolate(scale_factor=(new side + 0.1) / old side)
  kDinoV2WithRegisters  // F.interpolate(antialias=True)
};

// Returns the package's name and method for the log, such as "timm (bicubic with antialias)".
std::string Describe(PositionSource source);

// Returns the number of patches on a side of the image that `positions` is for: a tensor [1,
// side^2, C] of floating-point type, or [1, 1 + side^2, C] with the class token's vector first.
// Returns 0 for any other tensor.
int64_t PositionSide(const at::Tensor& positions);

// Returns `positions` for images of side x side patches, [1, 1 + side^2, C] float32. `positions`:
// PositionSide() is not 0. Where it has no vector of the class token, that vector is 0.
at::Tensor ResamplePositions(const at::Tensor& positions, int64_t side, PositionSource source);

}  // namespace finetune

#endif  // FINETUNE_MODEL_POSITION_EMBEDDING_H_
