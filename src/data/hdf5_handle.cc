#include "src/data/hdf5_handle.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

// Returns the mutex for the HDF5 library, whose state is global in the process.
std::mutex& LibraryMutex() {
  static std::mutex mutex;
  // HDF5's cleanup at the program's end crashes if a file could not be closed, for example because
  // the disk was full. It is switched off. It is not needed, because Hdf5Handle closes every
  // identifier.
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
        // Entry 0 of an upward walk is the failure itself. The other entries only name its callers.
        if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  // HDF5 describes a failed system call by a long line with addresses and times. It is replaced by
  // the text for the errno that the line contains.
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
