#ifndef FINETUNE_TESTS_SAME_BITS_H_
#define FINETUNE_TESTS_SAME_BITS_H_

#include "src/tensor/named_tensor.h"

namespace finetune {

// Expects that both lists have the same names in the same order, and that tensors of the same name
// have the same bits.
void ExpectSameBits(const TensorList& tensors, const TensorList& expected);

}  // namespace finetune

#endif  // FINETUNE_TESTS_SAME_BITS_H_
