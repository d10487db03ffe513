#ifndef FINETUNE_DATA_BATCH_H_
#define FINETUNE_DATA_BATCH_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace finetune {

// One rank's part of one global batch: n images. n may be 0 where a last batch does not reach this
// rank.
struct Batch {
  // [n, C, H, W], channels-last in memory: ready for the model in float32 or bfloat16. Or uint8 as
  // stored, [rows, C, H, W]: with a batch transform the rows are whole pairs, and this rank's
  // images are rows [first, first + n); else rows is n.
  at::Tensor images;
  // [rows, draws] int64, what the pipeline is to do to images that are as stored; else undefined.
  at::Tensor draws;
  // [n] int64.
  at::Tensor labels;
  // [n] int64, the label of each image's partner. Undefined without a batch transform.
  at::Tensor partner_labels;
  // [BatchTransform::draws()] float32. Undefined without a batch transform.
  at::Tensor mixing;
  int64_t first = 0;
  // [n]: each image's index in its split.
  std::vector<int64_t> indices;
  // Images in the global batch, over all ranks: what losses are averaged over.
  int64_t global_size = 0;

  // All of its tensors, some of them undefined.
  std::array<at::Tensor*, 5> tensors() {
    return {&images, &draws, &labels, &partner_labels, &mixing};
  }
  std::array<const at::Tensor*, 5> tensors() const {
    return {&images, &draws, &labels, &partner_labels, &mixing};
  }
};

// Returns the targets of the loss: the labels, [n] int64, or where a batch transform has mixed
// images, distributions over the classes, [n, classes] float32.
at::Tensor Targets(const Batch& batch, int64_t classes);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_H_
