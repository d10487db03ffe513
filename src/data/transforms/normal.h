#ifndef FINETUNE_DATA_TRANSFORMS_NORMAL_H_
#define FINETUNE_DATA_TRANSFORMS_NORMAL_H_

#include <cmath>
#include <numbers>

#include "src/base/philox.h"

namespace finetune {

// Draws random numbers from the normal distribution with mean 0 and standard deviation 1 (Box and
// Muller 1958).
class Normal {
 public:
  // `random` must outlive this object.
  explicit Normal(RandomStream* random) : random_(*random) {}

  float Next() {
    if (has_other_) {
      has_other_ = false;
      return other_;
    }
    // The method makes two numbers at a time. Uniform() is below 1, so the logarithm is finite.
    const float radius = std::sqrt(-2 * std::log(1 - random_.Uniform()));
    const float angle = 2 * std::numbers::pi_v<float> * random_.Uniform();
    other_ = radius * std::sin(angle);
    has_other_ = true;
    return radius * std::cos(angle);
  }

 private:
  RandomStream& random_;
  float other_ = 0;
  bool has_other_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_NORMAL_H_
