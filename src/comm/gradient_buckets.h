#ifndef FINETUNE_COMM_GRADIENT_BUCKETS_H_
#define FINETUNE_COMM_GRADIENT_BUCKETS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/experiment.pb.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Flat memory for the trained parameters and their gradients, and the all-reduce that runs behind
// backward.
//
// Parameters lie in reverse order of use, the order in which their gradients come. The flat
// gradient is cut into buckets; when the last gradient of a bucket is there, its all-reduce starts
// while backward goes on (Li et al. 2020, "PyTorch Distributed"). The first bucket is small, so
// that it leaves early.
class GradientBuckets {
 public:
  struct Entry {
    std::string name;
    int64_t offset = 0;  // elements
    int64_t count = 0;
  };

  // Moves the storage of `parameters` (float32, requiring gradients, in the order of the forward
  // pass) into flat memory and ties their gradients to it. They and `comm` must outlive this.
  static absl::StatusOr<std::unique_ptr<GradientBuckets>> Create(const TensorList& parameters,
                                                                 const CommConfig& config,
                                                                 Communicator* comm);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // [n] float32 each, laid out alike.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradients() const { return gradients_; }
  const std::vector<Entry>& entries() const { return entries_; }
  int64_t bucket_count() const { return static_cast<int64_t>(buckets_.size()); }

  // Before the first backward pass of an iteration: sets the gradients to 0.
  void Zero();
  // Before each backward pass. Only the last of an iteration communicates.
  void BeginBackward(bool communicate);
  // After the last: waits until gradients() holds the sum over all ranks.
  absl::Status Finish();

 private:
  class Hook;
  struct Bucket {
    int64_t begin = 0, end = 0;  // elements
    int parameters = 0;
    int waiting = 0;
    absl::StatusOr<std::unique_ptr<Communicator::Work>> reduction =
        std::unique_ptr<Communicator::Work>();
  };

  GradientBuckets(Communicator* comm, Wire wire) : comm_(*comm), wire_(wire) {}
  void GradientIsThere(size_t bucket);
  void StartReadyBuckets();

  Communicator& comm_;
  const Wire wire_;
  TensorList parameters_;
  at::Tensor values_, gradients_;
  std::vector<Entry> entries_;
  std::vector<Bucket> buckets_;
  size_t next_bucket_ = 0;
  bool communicate_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_GRADIENT_BUCKETS_H_
