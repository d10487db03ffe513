#include "src/data/batch_transforms/beta.h"

#include <cmath>
#include <cstdint>
#include <numbers>

namespace finetune {
namespace {

// Uniform in (0, 1), with 52 bits.
double DrawOpenUniform(RandomStream* random) {
  const uint64_t high = random->Next() >> 6, low = random->Next() >> 6;
  return (static_cast<double>(high << 26 | low) + 0.5) * 0x1p-52;
}

// The logarithm of a number from Gamma(shape, 1); a small shape makes numbers below any double.
// Marsaglia and Tsang 2000, "A simple method for generating gamma variables". For shapes below 1
// their Gamma(shape) = Gamma(shape + 1) * U^(1 / shape).
double DrawLogGamma(double shape, RandomStream* random) {
  if (shape < 1) return DrawLogGamma(shape + 1, random) + std::log(DrawOpenUniform(random)) / shape;
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    // Box and Muller 1958: a number from the normal distribution.
    const double radius = std::sqrt(-2 * std::log(DrawOpenUniform(random)));
    const double normal = radius * std::cos(2 * std::numbers::pi * DrawOpenUniform(random));
    const double root = 1 + c * normal;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(DrawOpenUniform(random)) < 0.5 * normal * normal + d - d * v + d * std::log(v)) {
      return std::log(d) + std::log(v);
    }
  }
}

}  // namespace

double DrawSymmetricBeta(double alpha, RandomStream* random) {
  // X / (X + Y) of two numbers from Gamma(alpha, 1).
  const double x = DrawLogGamma(alpha, random);
  const double y = DrawLogGamma(alpha, random);
  return 1 / (1 + std::exp(y - x));
}

}  // namespace finetune
