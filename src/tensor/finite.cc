#include "src/tensor/finite.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

namespace finetune {
namespace {

// The number of elements that a thread checks at a time; they take 256 KiB.
constexpr int64_t kGrain = 65536;

// Returns whether values[0, n) have neither an infinity nor a NaN. In IEEE 754 only infinities and
// NaNs have all bits of the exponent set. The loop has no branch, so the compiler vectorizes it and
// it runs as fast as memory delivers the values.
bool IsFiniteRange(const float* values, int64_t n) {
  constexpr uint32_t kExponent = 0x7F800000;
  uint32_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    found |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return found == 0;
}

}  // namespace

bool IsFinite(const at::Tensor& tensor) {
  if (!tensor.is_floating_point()) return true;
  if (!tensor.is_cpu() || tensor.scalar_type() != at::kFloat ||
      !tensor.is_non_overlapping_and_dense()) {
    const at::NoGradGuard no_grad;
    return at::isfinite(tensor).all().item<bool>();
  }
  const float* values = tensor.const_data_ptr<float>();
  std::atomic<bool> finite{true};
  at::parallel_for(0, tensor.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (!IsFiniteRange(values + begin, end - begin)) finite = false;
  });
  return finite;
}

const NamedTensor* FirstNotFinite(const TensorList& tensors) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [](const NamedTensor& one) { return !IsFinite(one.tensor); });
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace finetune
