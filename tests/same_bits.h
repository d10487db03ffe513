#ifndef FINETUNE_TESTS_SAME_BITS_H_
#define FINETUNE_TESTS_SAME_BITS_H_

#include "src/tensor/named_tensor.h"

namespace finetune {

// Expects the same names, and of each tensor the same bits.
void ExpectSameBits(const TensorList& tensors, const TensorList& expected);

}  // namespace finetune

#endif  // FINETUNE_TESTS_SAME_BITS_H_
