#include "src/data/batch_transforms/beta.h"

#include <cmath>
#include <cstdint>
#include <numbers>

namespace finetune {
namespace {

// Returns a uniform random number in (0, 1), with 52 random bits.
double DrawOpenUniform(RandomStream* random) {
  const uint64_t high = random->Next() >> 6, low = random->Next() >> 6;
  return (static_cast<double>(high << 26 | low) + 0.5) * 0x1p-52;
}

// Returns the logarithm of a random number from Gamma(shape, 1). With a small shape the number
// itself may be too small for a double. Method: Marsaglia and Tsang 2000, "A simple method for
// generating gamma variables". For shapes below 1 it uses Gamma(shape) = Gamma(shape + 1) * U^(1 /
// shape), with U uniform in (0, 1).
double DrawLogGamma(double shape, RandomStream* random) {
  if (shape < 1) return DrawLogGamma(shape + 1, random) + std::log(DrawOpenUniform(random)) / shape;
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    // A normally distributed number (Box and Muller 1958).
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
  // For X and Y from Gamma(alpha, 1), X / (X + Y) has the distribution Beta(alpha, alpha).
  const double x = DrawLogGamma(alpha, random);
  const double y = DrawLogGamma(alpha, random);
  return 1 / (1 + std::exp(y - x));
}

}  // namespace finetune
