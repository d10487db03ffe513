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

// Flat memory for the trained parameters and their gradients, with all-reduces that run beside
// backward (Li et al. 2020, "PyTorch Distributed"). See gradient_buckets.cc for the layout. One
// iteration:
//
//   buckets->Zero();
//   for each micro-batch: buckets->BeginBackward(/*communicate=*/last one); loss.backward();
//   FT_RETURN_IF_ERROR(buckets->Finish());
//   // gradients() is now the sum over the micro-batches and all ranks.
class GradientBuckets {
 public:
  // Moves the storage of `parameters` (float32, dense, requiring gradients, in the order of the
  // forward pass) into flat memory, with their strides, and makes their gradients views of it.
  // Collective. The parameters stay usable after this object is gone. `comm` must outlive it and
  // the gradients. Errors: InvalidArgument naming the parameter.
  static absl::StatusOr<std::unique_ptr<GradientBuckets>> Create(const TensorList& parameters,
                                                                 const CommConfig& config,
                                                                 Communicator* comm);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // Flat tensors [n] float32 with the same layout: parameter entries()[i] is elements [offset,
  // offset + count). Each parameter begins at a multiple of 64 bytes; the elements between two
  // parameters are 0.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradients() const { return gradients_; }
  // In the order of the flat tensors: the last parameter of the forward pass comes first.
  const std::vector<ParameterSpan>& entries() const { return entries_; }
  int64_t bucket_count() const { return static_cast<int64_t>(buckets_.size()); }

  // Forgets the gradients, before the first backward pass of an iteration. It does not clear their
  // memory. A parameter that gets no gradient before Finish() has gradient 0.
  void Zero();
  // Call it before each backward pass. Only the last pass of an iteration communicates.
  void BeginBackward(bool communicate);
  // Call it after the last pass. It starts the all-reduces of the buckets that did not fill up.
  // Finish() calls it too.
  void EndBackward();
  // Waits until gradients() holds the sum over all ranks. Errors: those of the all-reduces;
  // FailedPrecondition when a parameter got its gradient twice in the last pass.
  absl::Status Finish();

  // For code that computes gradients without autograd. Returns the gradient of `parameters[index]`,
  // with the parameter's shape and strides. The first backward pass after Zero() writes it, later
  // passes add to it. MarkReady() then does the work of autograd's hook.
  const at::Tensor& gradient(int64_t index) const { return slots_[index].gradient; }
  void MarkReady(int64_t index);

 private:
  struct Hook;

  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor gradient;
    size_t bucket = 0;
    // Whether the gradient was written since Zero(), and whether it is complete since
    // BeginBackward().
    bool written = false;
    bool ready = false;
  };
  struct Bucket {
    at::Tensor gradients;
    int64_t parameters = 0;
    int64_t waiting = 0;
    std::unique_ptr<Communicator::Work> work;
  };

  GradientBuckets(const CommConfig& config, Communicator* comm);
  absl::Status Build(const TensorList& parameters, const CommConfig& config);
  // Runs after autograd has added to the gradient of parameter `index`.
  void AfterAccumulation(int64_t index);
  void Ready(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the all-reduces of the complete buckets, in the buckets' order, which is the same on
  // every rank.
  void Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Communicator& comm_;
  const Wire wire_;
  at::Tensor values_;
  at::Tensor gradients_;
  std::vector<ParameterSpan> entries_;
  std::vector<std::unique_ptr<Hook>> hooks_;

  // Autograd may run hooks on threads of its own.
  absl::Mutex mutex_;
  // In the order of `parameters`.
  std::vector<Slot> slots_;
  std::vector<Bucket> buckets_;
  size_t next_bucket_ = 0;
  bool communicate_ = false;
  absl::Status failure_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_GRADIENT_BUCKETS_H_
