#ifndef FINETUNE_DATA_BATCH_H_
#define FINETUNE_DATA_BATCH_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace finetune {

// One rank's part of a global batch (the images that all ranks together use in one iteration): n
// images. n is 0 if the last batch of an epoch is too short to give this rank an image, or if an
// evaluation leaves all its images out because they are damaged.
struct Batch {
  // The images, channels-last in memory. Prepared images (the pipeline has been applied, and the
  // batch transform has mixed them) are [n, C, H, W] in float32 or bfloat16. Stored images (a
  // DevicePipeline will prepare them) are uint8 [rows, C, H, W]. Without a batch transform rows is
  // n and `first` is 0. A batch transform mixes each image with a partner, so the rows also hold
  // the partners that belong to other ranks: this rank's images are rows [first, first + n).
  at::Tensor images;
  // [rows, draws] int64: for each row of `images` the numbers that Pipeline::Draw() wrote.
  // Undefined if the images are prepared.
  at::Tensor draws;
  // [n] int64: the label of each image.
  at::Tensor labels;
  // [n] int64: the label of each image's partner. Undefined without a batch transform.
  at::Tensor partner_labels;
  // [BatchTransform::draws()] float32: the random numbers of the batch transform, the same for all
  // pairs of the batch. Element 0 is the weight of an image's own label; its partner's label has
  // the rest to 1. Undefined without a batch transform.
  at::Tensor mixing;
  // The row of `images` and `draws` at which this rank's images begin, if they are stored.
  int64_t first = 0;
  // The visit of each image (see Sampler), [n]. It is the image's index in the split, unless the
  // epoch has the image more than once.
  std::vector<int64_t> indices;
  // The number of images in the global batch, over all ranks. Losses are averaged over this number.
  int64_t global_size = 0;

  // Returns all tensors of the batch, also those that are undefined.
  std::array<at::Tensor*, 5> tensors() {
    return {&images, &draws, &labels, &partner_labels, &mixing};
  }
  std::array<const at::Tensor*, 5> tensors() const {
    return {&images, &draws, &labels, &partner_labels, &mixing};
  }
};

// Returns the targets of the loss. Without a batch transform these are the labels, [n] int64. With
// one they are a probability for each class, [n, classes] float32: an image's own class and its
// partner's class have the weights of Batch::mixing.
at::Tensor Targets(const Batch& batch, int64_t classes);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_H_
