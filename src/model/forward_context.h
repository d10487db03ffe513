#ifndef FINETUNE_MODEL_FORWARD_CONTEXT_H_
#define FINETUNE_MODEL_FORWARD_CONTEXT_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"

namespace finetune {

// The purpose of one forward pass and the images in it. The random draws of a training pass depend
// only on the seed, the iteration and each image's index. So they are the same for any number of
// ranks and any size of micro-batch.
struct ForwardContext {
  // True: trained stages record the graph for backward, and their batch norms use the statistics of
  // the batch.
  bool training = false;
  // The iteration's number, counted from 0 over the whole run.
  int64_t iteration = 0;
  // [N]: each image's index in its split. Only read where the pass has random draws.
  absl::Span<const int64_t> indices = {};
  // The share of this batch's statistics in the new running statistics; at least 0, at most 1.
  // Unset: each batch norm's own momentum.
  std::optional<double> statistics_momentum = std::nullopt;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_FORWARD_CONTEXT_H_
