#ifndef FINETUNE_DATA_BATCH_H_
#define FINETUNE_DATA_BATCH_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace finetune {

// One rank's part of one global batch.
struct Batch {
  // [n, C, H, W], channels-last in memory: ready for the model in float32 or bfloat16, or uint8 as
  // stored. n may be 0 where a last batch does not reach this rank.
  at::Tensor images;
  // [n, draws] int64, what the pipeline is to do to pictures that are as stored; else undefined.
  at::Tensor draws;
  // [n] int64.
  at::Tensor labels;
  // [n]: each picture's index in its split.
  std::vector<int64_t> indices;
  // Pictures in the global batch, over all ranks: what losses are averaged over.
  int64_t global_size = 0;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_H_
