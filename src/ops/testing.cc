#include "src/ops/testing.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include "src/base/fnv.h"

namespace finetune {
namespace {

// The splitmix64 generator, started from the FNV-1a hash of the name.
class Hashes {
 public:
  explicit Hashes(const std::string& name) : state_(Fnv1a(name)) {}
  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

}  // namespace

at::Tensor ByFormula(const std::string& name, at::IntArrayRef shape, double scale, double offset) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  Hashes hashes(name);
  float* const data = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    const double u = static_cast<double>(hashes.Next() >> 40) / (1 << 23) - 1.0;
    data[i] = static_cast<float>(offset + scale * u);
  }
  return tensor;
}

double RelativeError(const at::Tensor& actual, const at::Tensor& expected) {
  const at::NoGradGuard no_grad;
  const at::Tensor truth = expected.to(at::kDouble);
  return actual.to(truth.device(), at::kDouble).sub(truth).norm().item<double>() /
         truth.norm().item<double>();
}

}  // namespace finetune
