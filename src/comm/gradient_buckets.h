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

// Flat memory for the trained parameters and their gradients, and the all-reduce that runs behind
// backward.
//
// Parameters lie in reverse order of use, the order in which their gradients come. The flat
// gradient is cut into buckets; when the last gradient of a bucket is there, its all-reduce starts
// while backward goes on (Li et al. 2020, "PyTorch Distributed"). The first bucket is small, so
// that it leaves early. An iteration:
//
//   buckets->Zero();
//   for each micro-batch: buckets->BeginBackward(/*communicate=*/last one); loss.backward();
//   FT_RETURN_IF_ERROR(buckets->Finish());
//   // gradients() is the sum over the micro-batches and all ranks.
class GradientBuckets {
 public:
  // Moves the storage of `parameters` (float32, dense, requiring gradients, in the order of the
  // forward pass) into flat memory, strides and all, and makes their gradients views of it.
  // Collective. Parameters stay usable after this object; `comm` must outlive it and the gradients.
  // Errors: InvalidArgument naming the parameter.
  static absl::StatusOr<std::unique_ptr<GradientBuckets>> Create(const TensorList& parameters,
                                                                 const CommConfig& config,
                                                                 Communicator* comm);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // [n] float32 each, laid out alike: parameter entries()[i] is elements [offset, offset + count).
  // Each begins at a multiple of 64 bytes; what lies between them is 0.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradients() const { return gradients_; }
  // By place in the flat tensors: the last parameter comes first.
  const std::vector<ParameterSpan>& entries() const { return entries_; }
  int64_t bucket_count() const { return static_cast<int64_t>(buckets_.size()); }

  // Before the first backward pass of an iteration: forgets the gradients. Touches no memory; a
  // parameter that gets none until Finish() has 0.
  void Zero();
  // Before each backward pass. Only the last of an iteration communicates.
  void BeginBackward(bool communicate);
  // After the last: the all-reduces that had nothing to start them in backward begin. Finish() does
  // it too where nobody has.
  void EndBackward();
  // At the end: waits until gradients() holds the sum over all ranks. Errors: of the
  // all-reduces; FailedPrecondition when a parameter got its gradient twice in the last pass.
  absl::Status Finish();

  // For code that computes gradients without autograd: the gradient of `parameters[index]`, to be
  // written by the first backward pass after Zero() and added to by later ones, with the
  // parameter's shape and strides. MarkReady() then does what autograd's hook would.
  const at::Tensor& gradient(int64_t index) const { return slots_[index].gradient; }
  void MarkReady(int64_t index);

 private:
  struct Hook;

  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor gradient;
    size_t bucket = 0;
    // Since Zero(), and since BeginBackward().
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
  // After autograd added to parameter `index`'s gradient.
  void AfterAccumulation(int64_t index);
  void Ready(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the complete buckets, in their order: it must be the same on every rank.
  void Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Communicator& comm_;
  const Wire wire_;
  at::Tensor values_;
  at::Tensor gradients_;
  std::vector<ParameterSpan> entries_;
  std::vector<std::unique_ptr<Hook>> hooks_;

  // Autograd may run hooks on threads of its own.
  absl::Mutex mutex_;
  // By place in `parameters`.
  std::vector<Slot> slots_;
  std::vector<Bucket> buckets_;
  size_t next_bucket_ = 0;
  bool communicate_ = false;
  absl::Status failure_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_GRADIENT_BUCKETS_H_
