#ifndef FINETUNE_TRAIN_LOSS_EXCHANGE_H_
#define FINETUNE_TRAIN_LOSS_EXCHANGE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/train/device.h"

namespace finetune {

// Sums the ranks' parts of each iteration's loss, and tells every rank whether any rank was asked
// to stop, in one small all-reduce an iteration. On a GPU the loss is read one iteration late, so
// that the device always has work.
class LossExchange {
 public:
  // The mean loss of an iteration's global batch: the sum of all ranks' parts.
  struct Loss {
    int64_t iteration = 0;
    double lr = 0;
    double value = 0;
  };
  struct Flags {
    // A signal asked to end the run.
    bool stop = false;
    // The launcher has announced that it may kill a rank soon, so a checkpoint is due.
    bool warned = false;
  };
  struct Exchanged {
    // A flag is set if any rank set it.
    Flags any;
    // The losses that were exchanged, by ascending iteration.
    std::vector<Loss> losses;
  };

  // `comm` must outlive this object.
  explicit LossExchange(Communicator* comm) : comm_(*comm) {}

  // Adds this rank's part of an iteration's loss: a scalar tensor of any type, on any device.
  void Add(int64_t iteration, double lr, const at::Tensor& part) {
    parts_.push_back({iteration, lr, LateNumber(part)});
  }

  // Sums all parts that have not been exchanged yet, except the newest `left`. `mine`: this rank's
  // flags. Collective; `left` and the calls of Add() must be the same on every rank. Errors: those
  // of the all-reduce.
  absl::StatusOr<Exchanged> Exchange(size_t left, const Flags& mine);

 private:
  struct Part {
    int64_t iteration;
    double lr;
    LateNumber value;
  };

  Communicator& comm_;
  std::deque<Part> parts_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_LOSS_EXCHANGE_H_
