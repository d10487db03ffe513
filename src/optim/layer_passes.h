#ifndef FINETUNE_OPTIM_LAYER_PASSES_H_
#define FINETUNE_OPTIM_LAYER_PASSES_H_

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "src/optim/optimizer.h"

namespace finetune {

// A trained parameter as LARS and LAMB see it. Both multiply the update of each parameter by its
// trust ratio, which depends on the L2 norms of the parameter and of its update (You et al. 2017,
// 2020).
struct LayerParameter {
  int64_t offset = 0;  // its elements are [offset, offset + count) of the contiguous memory
  int64_t count = 0;
  double lr_multiplier = 1;
  double weight_decay = 0;
  // Whether the parameter has a trust ratio. Otherwise its ratio is 1.
  bool adapts = false;
};

// Sums of squares of the elements of a parameter and of its update.
struct SquareSums {
  double weights = 0;
  double updates = 0;
};

// The two passes of a step of LARS or LAMB over the contiguous memory, on the CPU: the first one
// computes the sums of squares, the second one updates the parameters. Each parameter is divided
// into blocks, which the threads share. So the sums do not depend on the number of threads. The
// passes allocate no memory.
class LayerPasses {
 public:
  // `weight_decay`: the optimizer's, which the multipliers of rules multiply. A parameter adapts if
  // it has more than one dimension and weight decay, or if `always_adapt`.
  LayerPasses(const FlatParameters& parameters, double weight_decay, bool always_adapt);

  const std::vector<LayerParameter>& parameters() const { return parameters_; }

  // Calls `measure(parameter, begin, end)` for the elements [begin, end) of each block, on several
  // threads. It returns the block's SquareSums.
  template <typename MeasureBlock>
  void Measure(const MeasureBlock& measure) {
    ForEachBlock([&](const Block& block, SquareSums* sums) {
      *sums = measure(parameters_[block.parameter], block.begin, block.end);
    });
    std::fill(sums_.begin(), sums_.end(), SquareSums());
    for (const Block& block : blocks_) {
      SquareSums& sum = sums_[block.parameter];
      sum.weights += block.sums.weights;
      sum.updates += block.sums.updates;
    }
  }

  // Calls `update(parameter, sums, begin, end)` for the elements [begin, end) of each block, on
  // several threads. `sums`: those of the whole parameter, from Measure().
  template <typename UpdateBlock>
  void Update(const UpdateBlock& update) {
    ForEachBlock([&](const Block& block, SquareSums*) {
      update(parameters_[block.parameter], sums_[block.parameter], block.begin, block.end);
    });
  }

 private:
  // At most this many elements: 64 KiB of each array.
  static constexpr int64_t kBlock = 16384;

  struct Block {
    size_t parameter;
    int64_t begin;
    int64_t end;
    SquareSums sums;
  };

  template <typename Run>
  void ForEachBlock(const Run& run) {
    at::parallel_for(0, static_cast<int64_t>(blocks_.size()), /*grain_size=*/1,
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) run(blocks_[i], &blocks_[i].sums);
                     });
  }

  std::vector<LayerParameter> parameters_;
  std::vector<SquareSums> sums_;  // of each parameter
  std::vector<Block> blocks_;     // in the order of memory
};

// The number of partial sums of a sum of squares, which the compiler keeps in vector registers.
inline constexpr int64_t kLanes = 8;

// Returns the sum of the partial sums.
double SumOf(const double (&lanes)[kLanes]);

// Returns the sum of the squares of `n` elements. The order of the sum does not depend on the
// processor's instructions.
double SumOfSquares(const float* values, int64_t n);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_LAYER_PASSES_H_
