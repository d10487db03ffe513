#include "src/optim/gradient_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace finetune {
namespace {

// The number of elements in a partial sum, which one thread adds up.
constexpr int64_t kChunk = 16384;

}  // namespace

double GradientNorm(const at::Tensor& gradients) {
  if (!gradients.is_cpu()) return at::linalg_vector_norm(gradients).item<double>();
  const int64_t n = gradients.numel();
  const float* g = gradients.const_data_ptr<float>();
  std::vector<double> partial((n + kChunk - 1) / kChunk, 0.0);
  at::parallel_for(0, static_cast<int64_t>(partial.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      double sum = 0;
      for (int64_t i = chunk * kChunk; i < std::min(n, (chunk + 1) * kChunk); ++i) {
        sum += static_cast<double>(g[i]) * g[i];
      }
      partial[chunk] = sum;
    }
  });
  double total = 0;
  for (double sum : partial) total += sum;
  return std::sqrt(total);
}

}  // namespace finetune
