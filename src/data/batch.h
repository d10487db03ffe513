#ifndef FINETUNE_DATA_BATCH_H_
#define FINETUNE_DATA_BATCH_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace finetune {

// One rank's part of one global batch: n images. n is 0 where a short last batch has no images for
// this rank.
struct Batch {
  // The images, channels-last in memory. Either prepared for the model: [n, C, H, W] in float32 or
  // bfloat16. Or as stored: uint8 [rows, C, H, W]. Then, without a batch transform, rows is n. With
  // a batch transform, the rows are whole pairs of partners, and this rank's images are rows
  // [first, first + n).
  at::Tensor images;
  // [rows, draws] int64, the random numbers of each image's pipeline. Undefined where the images
  // are prepared.
  at::Tensor draws;
  // [n] int64, the label of each image.
  at::Tensor labels;
  // [n] int64, the label of each image's partner. Undefined without a batch transform.
  at::Tensor partner_labels;
  // [BatchTransform::draws()] float32, the random numbers of the batch transform. Element 0 is the
  // share of an image's own label. Undefined without a batch transform.
  at::Tensor mixing;
  int64_t first = 0;
  // The visit of each image, n of them: its index in the split, or a number of its own where the
  // epoch visits the image again. See Sampler.
  std::vector<int64_t> indices;
  // The number of images in the global batch, over all ranks. Losses are averaged over it.
  int64_t global_size = 0;

  // Returns all tensors of the batch. Some of them may be undefined.
  std::array<at::Tensor*, 5> tensors() {
    return {&images, &draws, &labels, &partner_labels, &mixing};
  }
  std::array<const at::Tensor*, 5> tensors() const {
    return {&images, &draws, &labels, &partner_labels, &mixing};
  }
};

// Returns the targets of the loss. Without a batch transform: the labels, [n] int64. With one: each
// image's distribution over the classes, [n, classes] float32.
at::Tensor Targets(const Batch& batch, int64_t classes);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_H_
