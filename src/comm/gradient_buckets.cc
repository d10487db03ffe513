#include "src/comm/gradient_buckets.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

// Parameters start at multiples of a cache line, so that vector instructions and false sharing are
// no concern.
constexpr int64_t kAlignment = 16;
constexpr double kElementsPerMebibyte = (1 << 20) / 4.0;

Wire WireOf(CommConfig::Compression compression) {
  switch (compression) {
    case CommConfig::BF16:
      return Wire::kBFloat16;
    case CommConfig::FP16:
      return Wire::kFloat16;
    case CommConfig::NONE:
      break;
  }
  return Wire::kFloat32;
}

}  // namespace

// Tells the buckets that a parameter's gradient has been accumulated.
class GradientBuckets::Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(GradientBuckets* buckets, size_t bucket) : buckets_(buckets), bucket_(bucket) {}
  void operator()(const torch::autograd::Variable& /*parameter*/) override {
    buckets_->GradientIsThere(bucket_);
  }

 private:
  GradientBuckets* buckets_;
  size_t bucket_;
};

absl::StatusOr<std::unique_ptr<GradientBuckets>> GradientBuckets::Create(
    const TensorList& parameters, const CommConfig& config, Communicator* comm) {
  std::unique_ptr<GradientBuckets> made(new GradientBuckets(comm, WireOf(config.compression())));
  made->parameters_.assign(parameters.rbegin(), parameters.rend());
  std::vector<size_t> bucket_of;
  int64_t offset = 0;
  double limit = config.first_bucket_mebibytes() * kElementsPerMebibyte;
  for (const NamedTensor& parameter : made->parameters_) {
    if (parameter.tensor.scalar_type() != at::kFloat || !parameter.tensor.requires_grad() ||
        !parameter.tensor.is_non_overlapping_and_dense()) {
      return absl::InvalidArgumentError(
          absl::StrCat(parameter.name, " is no dense float32 tensor that requires a gradient"));
    }
    if (made->buckets_.empty() || static_cast<double>(offset - made->buckets_.back().begin +
                                                      parameter.tensor.numel()) > limit) {
      if (!made->buckets_.empty()) limit = config.bucket_mebibytes() * kElementsPerMebibyte;
      if (made->buckets_.empty() || offset > made->buckets_.back().begin) {
        made->buckets_.push_back({.begin = offset});
      }
    }
    made->entries_.push_back({parameter.name, offset, parameter.tensor.numel()});
    offset += (parameter.tensor.numel() + kAlignment - 1) / kAlignment * kAlignment;
    Bucket& bucket = made->buckets_.back();
    bucket.end = offset;
    ++bucket.parameters;
    bucket_of.push_back(made->buckets_.size() - 1);
  }
  if (made->parameters_.empty()) return absl::InvalidArgumentError("nothing is trained");

  const auto options = made->parameters_.front().tensor.options().requires_grad(false);
  made->values_ = at::zeros({offset}, options.memory_format(std::nullopt));
  FT_ASSIGN_OR_RETURN(made->gradients_, comm->AllocateBuffer(offset));
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < made->parameters_.size(); ++i) {
    at::Tensor& parameter = made->parameters_[i].tensor;
    const Entry& entry = made->entries_[i];
    // The same shape and strides as before, over the flat memory.
    const at::Tensor value =
        made->values_.as_strided(parameter.sizes(), parameter.strides(), entry.offset);
    value.copy_(parameter);
    parameter.set_data(value);
    parameter.mutable_grad() =
        made->gradients_.as_strided(parameter.sizes(), parameter.strides(), entry.offset);
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameter, std::make_unique<Hook>(made.get(), bucket_of[i]));
  }
  return made;
}

GradientBuckets::~GradientBuckets() {
  for (const NamedTensor& parameter : parameters_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter.tensor, nullptr);
  }
}

void GradientBuckets::Zero() { gradients_.zero_(); }

void GradientBuckets::BeginBackward(bool communicate) {
  communicate_ = communicate;
  next_bucket_ = 0;
  for (Bucket& bucket : buckets_) {
    bucket.waiting = bucket.parameters;
  }
}

void GradientBuckets::GradientIsThere(size_t bucket) {
  if (!communicate_) return;
  --buckets_[bucket].waiting;
  StartReadyBuckets();
}

void GradientBuckets::StartReadyBuckets() {
  // In order: every rank must start the same one.
  for (; next_bucket_ < buckets_.size() && buckets_[next_bucket_].waiting <= 0; ++next_bucket_) {
    Bucket& bucket = buckets_[next_bucket_];
    bucket.reduction =
        comm_.AllReduceSum(gradients_.narrow(0, bucket.begin, bucket.end - bucket.begin), wire_);
  }
}

absl::Status GradientBuckets::Finish() {
  // A parameter that took no part in this pass has a gradient of 0; its bucket leaves now.
  for (Bucket& bucket : buckets_) bucket.waiting = 0;
  StartReadyBuckets();
  absl::Status status;
  for (Bucket& bucket : buckets_) {
    status.Update(bucket.reduction.status());
    if (bucket.reduction.ok()) {
      status.Update(
          (*std::exchange(bucket.reduction, std::unique_ptr<Communicator::Work>()))->Wait());
    }
  }
  return status;
}

}  // namespace finetune
