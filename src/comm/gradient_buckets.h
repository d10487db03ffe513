#ifndef FINETUNE_COMM_GRADIENT_BUCKETS_H_
#define FINETUNE_COMM_GRADIENT_BUCKETS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/comm/communicator.h"
#include "src/config/experiment.pb.h"
#include "src/tensor/named_tensor.h"
#include "src/tensor/parameter_span.h"

namespace finetune {

// Keeps the trained parameters in one flat array and their gradients in another, and sums the
// gradients over the ranks while backward still runs (Li et al. 2020, "PyTorch Distributed").
// gradient_buckets.cc describes the layout. One iteration:
//
//   buckets->Zero();
//   for each micro-batch: buckets->BeginBackward(/*communicate=*/last one); loss.backward();
//   FT_RETURN_IF_ERROR(buckets->Finish());
//   // gradients() is now the sum over the micro-batches and all ranks.
class GradientBuckets {
 public:
  // Moves the values of `parameters` into the flat array values(). Each parameter becomes a view of
  // that array and keeps its shape and strides. Its gradient becomes a view of gradients().
  // `parameters`: float32, dense, requiring gradients, in the order in which the forward pass uses
  // them. Collective. The parameters stay usable after this object is destroyed. `comm` must
  // outlive this object and the gradients. Errors: InvalidArgument naming the unsuitable parameter.
  static absl::StatusOr<std::unique_ptr<GradientBuckets>> Create(const TensorList& parameters,
                                                                 const CommConfig& config,
                                                                 Communicator* comm);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // The parameters' values and their gradients: two flat float32 tensors [n] of the same layout.
  // The parameter that entries()[i] names has the elements [offset, offset + count). Each parameter
  // begins at a multiple of 64 bytes. The padding between two parameters is 0.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradients() const { return gradients_; }
  // The parameters in the order of the flat tensors. This is the reverse of the forward pass: its
  // last parameter comes first.
  const std::vector<ParameterSpan>& entries() const { return entries_; }
  int64_t bucket_count() const { return static_cast<int64_t>(buckets_.size()); }

  // Call it before the first backward pass of an iteration. It makes that pass overwrite the old
  // gradients, which is faster than setting them to 0. A parameter that gets no gradient before
  // Finish() then has the gradient 0.
  void Zero();
  // Call it before each backward pass (one for each micro-batch). `communicate`: whether the
  // all-reduces start during this pass. Pass true for the last pass of an iteration, false for the
  // others.
  void BeginBackward(bool communicate);
  // Call it after the last backward pass of an iteration, or leave that to Finish(). It starts the
  // all-reduces of the buckets in which some parameter got no gradient during the pass.
  void EndBackward();
  // Waits until gradients() holds the sum over all ranks. Errors: those of the all-reduces;
  // FailedPrecondition when a parameter got its gradient twice after the last BeginBackward().
  absl::Status Finish();

  // gradient() and MarkReady() are for code that computes gradients without autograd. gradient()
  // returns the gradient of `parameters[index]` of Create(), with the parameter's shape and
  // strides. In the first backward pass after Zero() the caller must overwrite it, in later passes
  // add to it. The caller then calls MarkReady(), which tells that this pass's gradient is
  // complete; with autograd a hook calls it.
  const at::Tensor& gradient(int64_t index) const { return slots_[index].gradient; }
  void MarkReady(int64_t index);

 private:
  struct Hook;

  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor gradient;
    size_t bucket = 0;
    // written: whether the gradient has been written since the last Zero(). ready: whether the
    // current backward pass has completed it (reset by BeginBackward()).
    bool written = false;
    bool ready = false;
  };
  struct Bucket {
    at::Tensor gradients;
    // The number of parameters in this bucket, and of those whose gradient is not yet complete in
    // the current backward pass.
    int64_t parameters = 0;
    int64_t waiting = 0;
    std::unique_ptr<Communicator::Work> work;
  };

  GradientBuckets(const CommConfig& config, Communicator* comm);
  absl::Status Build(const TensorList& parameters, const CommConfig& config);
  // The hook: autograd calls it after it has accumulated the gradient of parameter `index`.
  void AfterAccumulation(int64_t index);
  void Ready(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the all-reduces of the complete buckets, up to the first bucket that still waits for a
  // gradient. So the order of the all-reduces is that of the buckets, which is the same on every
  // rank.
  void Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Communicator& comm_;
  const Wire wire_;
  at::Tensor values_;
  at::Tensor gradients_;
  std::vector<ParameterSpan> entries_;
  std::vector<std::unique_ptr<Hook>> hooks_;

  // Guards slots_ and buckets_, because autograd may run hooks on threads of its own.
  absl::Mutex mutex_;
  // In the order of Create()'s `parameters`.
  std::vector<Slot> slots_;
  std::vector<Bucket> buckets_;
  // The first bucket whose all-reduce has not been started in the current backward pass.
  size_t next_bucket_ = 0;
  bool communicate_ = false;
  absl::Status failure_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_GRADIENT_BUCKETS_H_
