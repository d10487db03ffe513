#include "src/train/torch_error.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace finetune {
namespace {

std::string OutOfMemory(absl::string_view what) {
  return absl::StrCat("out of memory: ", what,
                      " (fewer images at a time need less: data.train.micro_batch_size in "
                      "training, data.val.batch_size in a validation)");
}

}  // namespace

absl::Status CurrentException(const std::function<std::string()>& gpu) {
  try {
    throw;
  } catch (const std::bad_alloc& error) {
    return absl::ResourceExhaustedError(OutOfMemory(error.what()));
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(
        WithGpu(OutOfMemory(error.what_without_backtrace()), gpu()));
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    // cuDNN and cuBLAS have errors of their own for a GPU whose memory is full.
    return absl::StrContains(what, "can't allocate memory")
               ? absl::ResourceExhaustedError(OutOfMemory(what))
           : absl::StrContains(what, "CUDA error: out of memory") ||
                   absl::StrContains(what, "STATUS_ALLOC_FAILED")
               ? absl::ResourceExhaustedError(WithGpu(OutOfMemory(what), gpu()))
           : absl::StrContains(what, "CUDA") || absl::StrContains(what, "cuDNN")
               ? absl::InternalError(WithGpu(what, gpu()))
               : absl::InternalError(what);
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  } catch (...) {
    return absl::InternalError("an exception of unknown type");
  }
}

}  // namespace finetune
