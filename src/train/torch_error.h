#ifndef FINETUNE_TRAIN_TORCH_ERROR_H_
#define FINETUNE_TRAIN_TORCH_ERROR_H_

#include <functional>
#include <string>
#include <utility>

#include "src/base/status_macros.h"
#include "src/host/gpus.h"

namespace finetune {

// Returns the exception of LibTorch or the standard library that is being handled as an error with
// its message. Errors: ResourceExhausted where the host's or a GPU's memory is full. An error of a
// GPU ends with `gpu()`, unless that is empty.
absl::Status CurrentException(const std::function<std::string()>& gpu = DescribeCurrentGpu);

// Returns `call()`, which is a Status or StatusOr. An exception in it becomes its error.
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
