#ifndef FINETUNE_BASE_CEIL_DIVIDE_H_
#define FINETUNE_BASE_CEIL_DIVIDE_H_

#include <cstdint>

namespace finetune {

// Returns a / b, rounded up. `a`: at least 0. `b`: more than 0.
constexpr int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace finetune

#endif  // FINETUNE_BASE_CEIL_DIVIDE_H_
