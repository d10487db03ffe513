#ifndef FINETUNE_TRAIN_TORCH_ERROR_H_
#define FINETUNE_TRAIN_TORCH_ERROR_H_

#include <functional>
#include <string>
#include <utility>

#include "src/base/status_macros.h"
#include "src/host/gpus.h"

namespace finetune {

// The exception that is being handled, which LibTorch or the standard library threw, as an error
// with its message. Errors: ResourceExhausted where memory is full, the host's or a GPU's. What a
// GPU has to do with ends with `gpu()`, if that says anything.
absl::Status CurrentException(const std::function<std::string()>& gpu = DescribeCurrentGpu);

// `call()`, which returns a Status or StatusOr; what is thrown in it becomes its error.
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
