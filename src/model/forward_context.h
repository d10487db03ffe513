#ifndef FINETUNE_MODEL_FORWARD_CONTEXT_H_
#define FINETUNE_MODEL_FORWARD_CONTEXT_H_

#include <cstdint>

#include "absl/types/span.h"

namespace finetune {

// The purpose of one forward pass, and the images in it. Random draws of a training pass are keyed
// by the seed, the iteration and each image's index, so that they are the same on any number of
// ranks and in micro-batches of any size.
struct ForwardContext {
  // Trained stages record the graph for backward, and batch norms take their statistics from the
  // batch.
  bool training = false;
  // Counts from 0 over the whole run.
  int64_t iteration = 0;
  // [N]: the index in its split of each image of the pass. Not read in a pass without draws.
  absl::Span<const int64_t> indices = {};
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_FORWARD_CONTEXT_H_
