#ifndef FINETUNE_CHECKPOINT_STATE_DICT_H_
#define FINETUNE_CHECKPOINT_STATE_DICT_H_

#include <string>
#include <vector>

#include "src/tensor/named_tensor.h"

namespace finetune {

// The weights of a network, as ReadStateDict() reads them from a checkpoint.
struct StateDict {
  // An entry that is not a plain tensor, such as a sparse or a quantized one.
  struct Unreadable {
    std::string name;
    // Says what the file has instead of a plain tensor, and if possible how to save it so that it
    // can be read.
    std::string reason;
  };

  // The tensors in the file's order.
  TensorList tensors;
  std::vector<Unreadable> unreadable;
  // Sentences for the user: which state dict was chosen among several, and that the file has no
  // checksums.
  std::vector<std::string> notes;
};

// Which set of weights is read from a file that keeps the averaged weights beside the raw ones, as
// programs that average weights write it.
enum class WeightsChoice {
  kUsual,         // the one that ReadStateDict() takes by its key
  kRaw,           // the raw weights; in a file of one set, that set
  kAveraged,      // the averaged weights
  kAveragedIfAny  // the averaged weights; in a file of one set, that set
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_STATE_DICT_H_
