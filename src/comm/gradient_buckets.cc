// All gradients lie in one flat array, which is cut into buckets. The buckets' all-reduces run
// while backward computes the remaining gradients.
//
// Problem: each rank computes the gradients of its own images, and the optimizer needs their sum
// over all ranks. A single all-reduce after backward would leave the network idle during backward.
// An all-reduce for each parameter would pay the network's latency hundreds of times.
//
// Method: a bucket of several gradients is summed by one all-reduce, which starts when the bucket's
// last gradient arrives (Li et al. 2020, "PyTorch Distributed"). A gradient arrives when backward
// has computed it. A hook on the autograd node that accumulates the gradient of a parameter reports
// this.
//
// Layout: `values_` and `gradients_` are [n] float32. They hold the parameters in reverse order of
// the forward pass, which is about the order in which gradients arrive. Each parameter begins at a
// multiple of 64 bytes, and the padding is 0. A bucket is a contiguous range of `gradients_`
// (bucket_layout.h). The first bucket is small, so that its all-reduce starts early. The last
// buckets are small, because no computation hides their all-reduces. A parameter and its gradient
// are strided views of the arrays, so channels-last weights stay channels-last.
//
// Invariants:
//  - All ranks start the buckets' all-reduces in the order of the buckets: a complete bucket waits
//    until all buckets before it are complete. So gradients may arrive in a different order on each
//    rank.
//  - Nobody reads or writes a bucket between the start of its all-reduce and Finish(). Only the
//    last backward pass of an iteration starts all-reduces; the passes of earlier micro-batches
//    only add to the gradients.
//  - After Zero() a parameter has no gradient tensor (its grad() is undefined). Autograd then makes
//    grad() a new tensor, which the hook copies into `gradients_`. EndBackward() sets the gradients
//    of parameters that got none to 0.
//  - `mutex_` guards `slots_` and `buckets_`, because autograd may run hooks on threads of its own.
//
// Tests: gradient_buckets_test runs on one rank, gradient_buckets_mpi_test on several under mpirun.
#include "src/comm/gradient_buckets.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/comm/bucket_layout.h"
#include "src/tensor/libtorch_bridge.h"

namespace finetune {
namespace {

Wire WireOf(CommConfig::Compression compression) {
  switch (compression) {
    case CommConfig::NONE:
      return Wire::kFloat32;
    case CommConfig::BF16:
      return Wire::kBFloat16;
    case CommConfig::FP16:
      return Wire::kFloat16;
  }
  return Wire::kFloat32;
}

absl::Status CheckParameter(const NamedTensor& parameter, const at::Tensor& first) {
  const at::Tensor& tensor = parameter.tensor;
  const char* wrong = nullptr;
  if (!tensor.defined() || !tensor.requires_grad() || !tensor.is_leaf()) {
    wrong = "is not a leaf that requires a gradient";
  } else if (tensor.scalar_type() != at::kFloat) {
    wrong = "is not float32";
  } else if (!tensor.is_non_overlapping_and_dense()) {
    wrong = "is not dense";
  } else if (tensor.device() != first.device()) {
    wrong = "is on another device than the first parameter";
  }
  if (wrong == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("gradient buckets: ", parameter.name, " ", wrong));
}

class AfterGradient : public torch::autograd::FunctionPostHook {
 public:
  explicit AfterGradient(std::function<void()> call) : call_(std::move(call)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    call_();
    return outputs;
  }

 private:
  std::function<void()> call_;
};

}  // namespace

// Calls `call` each time autograd has accumulated the parameter's gradient, until the Hook is
// destroyed. It holds the autograd node that accumulates, because the parameter has only a weak
// reference to the node.
struct GradientBuckets::Hook {
  Hook(const at::Tensor& parameter, std::function<void()> call)
      : node(torch::autograd::impl::grad_accumulator(parameter)),
        key(node->add_post_hook(std::make_unique<AfterGradient>(std::move(call)))) {}
  ~Hook() { node->del_post_hook(key); }

  NodePointer node;
  uintptr_t key;
};

GradientBuckets::GradientBuckets(const CommConfig& config, Communicator* comm)
    : comm_(*comm), wire_(WireOf(config.compression())) {}

GradientBuckets::~GradientBuckets() = default;

absl::StatusOr<std::unique_ptr<GradientBuckets>> GradientBuckets::Create(
    const TensorList& parameters, const CommConfig& config, Communicator* comm) {
  std::unique_ptr<GradientBuckets> buckets(new GradientBuckets(config, comm));
  FT_RETURN_IF_ERROR(buckets->Build(parameters, config));
  return buckets;
}

absl::Status GradientBuckets::Build(const TensorList& parameters, const CommConfig& config) {
  if (parameters.empty()) {
    return absl::InvalidArgumentError("gradient buckets: no parameter is trained");
  }
  std::set<const void*> seen;
  for (const NamedTensor& parameter : parameters) {
    FT_RETURN_IF_ERROR(CheckParameter(parameter, parameters[0].tensor));
    if (!seen.insert(parameter.tensor.unsafeGetTensorImpl()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("gradient buckets: ", parameter.name, " is listed twice"));
    }
  }

  // Compute the place of each parameter and each bucket in the flat arrays, which are in reverse
  // order of `parameters`.
  const auto count = static_cast<int64_t>(parameters.size());
  slots_.resize(count);
  std::vector<int64_t> counts;
  for (int64_t i = count - 1; i >= 0; --i) counts.push_back(parameters[i].tensor.numel());
  const BucketLayout layout = LayOutBuckets(counts, config);
  buckets_.resize(layout.ends.size());
  for (int64_t i = count - 1; i >= 0; --i) {
    const int64_t place = count - 1 - i;
    entries_.push_back({parameters[i].name, layout.offsets[place], counts[place]});
    slots_[i].bucket = layout.buckets[place];
    ++buckets_[slots_[i].bucket].parameters;
  }
  const int64_t total = layout.ends.back();

  const at::NoGradGuard no_grad;
  const at::TensorOptions options = parameters[0].tensor.options().requires_grad(false);
  values_ = at::zeros({total}, options);
  if (comm_.size() == 1) {
    gradients_ = at::zeros({total}, options);
  } else {
    FT_ASSIGN_OR_RETURN(gradients_, comm_.AllocateBuffer(total));
    if (gradients_.device() != values_.device()) {
      return absl::InvalidArgumentError(
          absl::StrCat("gradient buckets: the parameters are on ", values_.device().str(),
                       ", the communicator works on ", gradients_.device().str()));
    }
  }
  int64_t begin = 0;
  for (size_t b = 0; b < buckets_.size(); ++b) {
    buckets_[b].gradients = gradients_.narrow(0, begin, layout.ends[b] - begin);
    begin = layout.ends[b];
  }
  for (int64_t i = 0; i < count; ++i) {
    const ParameterSpan& entry = entries_[count - 1 - i];
    const at::Tensor& parameter = parameters[i].tensor;
    const at::Tensor value =
        values_.as_strided(parameter.sizes(), parameter.strides(), entry.offset);
    value.copy_(parameter);
    parameter.set_data(value);
    Slot& slot = slots_[i];
    slot.name = entry.name;
    slot.parameter = parameter;
    slot.gradient = gradients_.as_strided(parameter.sizes(), parameter.strides(), entry.offset);
    parameter.mutable_grad() = slot.gradient;
    hooks_.push_back(std::make_unique<Hook>(parameter, [this, i] { AfterAccumulation(i); }));
  }
  return absl::OkStatus();
}

void GradientBuckets::Zero() {
  absl::MutexLock lock(&mutex_);
  for (Slot& slot : slots_) {
    // With grad() undefined, autograd does not add to old gradients but sets grad() to a new
    // tensor. So the old gradients need not be set to 0.
    slot.parameter.mutable_grad() = at::Tensor();
    slot.written = false;
  }
}

void GradientBuckets::BeginBackward(bool communicate) {
  absl::MutexLock lock(&mutex_);
  communicate_ = communicate;
  next_bucket_ = 0;
  failure_ = absl::OkStatus();
  for (Slot& slot : slots_) slot.ready = false;
  for (Bucket& bucket : buckets_) bucket.waiting = bucket.parameters;
}

void GradientBuckets::AfterAccumulation(int64_t index) {
  // Autograd may run this for different parameters at the same time. Until MarkReady(), which
  // locks, it uses only this parameter's own slot.
  Slot& slot = slots_[index];
  const at::Tensor& gradient = slot.parameter.grad();
  if (gradient.defined() && gradient.unsafeGetTensorImpl() != slot.gradient.unsafeGetTensorImpl()) {
    const at::NoGradGuard no_grad;
    slot.gradient.copy_(gradient);
    slot.parameter.mutable_grad() = slot.gradient;
  }
  MarkReady(index);
}

void GradientBuckets::MarkReady(int64_t index) {
  absl::MutexLock lock(&mutex_);
  Slot& slot = slots_[index];
  slot.written = true;
  if (slot.ready) {
    if (communicate_) {
      failure_.Update(absl::FailedPreconditionError(
          absl::StrCat("gradient buckets: ", slot.name,
                       " got its gradient twice: BeginBackward() goes before each backward pass")));
    }
    return;
  }
  Ready(slot);
  if (communicate_) Start();
}

void GradientBuckets::Ready(Slot& slot) {
  slot.ready = true;
  --buckets_[slot.bucket].waiting;
}

void GradientBuckets::Start() {
  for (; next_bucket_ < buckets_.size() && buckets_[next_bucket_].waiting == 0; ++next_bucket_) {
    if (comm_.size() == 1 || !failure_.ok()) continue;
    Bucket& bucket = buckets_[next_bucket_];
    absl::StatusOr<std::unique_ptr<Communicator::Work>> work =
        comm_.AllReduceSum(bucket.gradients, wire_);
    failure_.Update(work.status());
    if (work.ok()) bucket.work = *std::move(work);
  }
}

void GradientBuckets::EndBackward() {
  absl::MutexLock lock(&mutex_);
  const at::NoGradGuard no_grad;
  for (Slot& slot : slots_) {
    if (!slot.written) {
      slot.gradient.zero_();
      slot.written = true;
    }
    slot.parameter.mutable_grad() = slot.gradient;
    if (!slot.ready) Ready(slot);
  }
  if (communicate_) Start();
  communicate_ = false;
}

absl::Status GradientBuckets::Finish() {
  EndBackward();
  absl::MutexLock lock(&mutex_);
  for (Bucket& bucket : buckets_) {
    if (bucket.work == nullptr) continue;
    failure_.Update(bucket.work->Wait());
    bucket.work = nullptr;
  }
  return failure_;
}

}  // namespace finetune
