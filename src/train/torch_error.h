#ifndef FINETUNE_TRAIN_TORCH_ERROR_H_
#define FINETUNE_TRAIN_TORCH_ERROR_H_

#include <functional>
#include <string>
#include <utility>

#include "src/base/status_macros.h"
#include "src/host/gpus.h"

namespace finetune {

// Returns the exception that is being handled, one of LibTorch or the standard library, as an error
// with its message. Call it in a catch block. Errors: ResourceExhausted where the host's or a GPU's
// memory is full; Internal for any other. The message of a GPU's error ends with `gpu()`, unless
// that is empty.
absl::Status CurrentException(const std::function<std::string()>& gpu = DescribeCurrentGpu);

// Returns the result of `call()`, a Status or StatusOr. An exception in `call()` is returned as an
// error.
template <typename Call>
auto CatchTorch(Call&& call) -> decltype(call()) {
  try {
    return std::forward<Call>(call)();
  } catch (...) {
    return CurrentException();
  }
}

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TORCH_ERROR_H_
