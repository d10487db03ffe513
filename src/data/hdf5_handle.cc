#include "src/data/hdf5_handle.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

// Returns the lock of HDF5's library, which has one global state in the process.
std::mutex& LibraryMutex() {
  static std::mutex mutex;
  // HDF5's own cleanup at the program's end crashes if a file could not be closed, as on a full
  // disk. Hdf5Handle closes every handle, so the cleanup is switched off.
  [[maybe_unused]] static const herr_t no_cleanup = H5dont_atexit();
  return mutex;
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(LibraryMutex()) {
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Lock::~Hdf5Lock() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

absl::Status Hdf5Error(const std::string& file, const std::string& what) {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
        // An upward walk starts with the failure itself. Later entries only name the callers.
        if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  // HDF5 describes a failed system call in a long line with addresses and times. The text of its
  // errno is enough.
  int number = 0;
  if (const size_t at = reason.find("errno = "); at != std::string::npos) {
    const size_t begin = at + std::strlen("errno = ");
    if (absl::SimpleAtoi(reason.substr(begin, reason.find(',', begin) - begin), &number)) {
      reason = std::strerror(number);
    }
  }
  const std::string message =
      absl::StrCat(file, ": ", what, reason.empty() ? "" : absl::StrCat(": ", reason));
  if (number == ENOSPC || number == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::DataLossError(message);
}

}  // namespace finetune
