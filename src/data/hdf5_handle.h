#ifndef FINETUNE_DATA_HDF5_HANDLE_H_
#define FINETUNE_DATA_HDF5_HANDLE_H_

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace finetune {

// Owns an HDF5 identifier and closes it with the function for its kind, such as H5Dclose.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }

  bool ok() const { return id_ >= 0; }
  hid_t get() const { return id_; }

  // Closes the identifier now. Returns false where HDF5 could not close it: a file's last writes
  // fail here.
  bool Reset() { return id_ < 0 || close_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

// Must be held around every use of HDF5, including the closing of handles: the library is built
// without thread safety. While it is held, HDF5 does not print its errors to stderr.
class Hdf5Lock {
 public:
  Hdf5Lock();
  ~Hdf5Lock();
  Hdf5Lock(const Hdf5Lock&) = delete;
  Hdf5Lock& operator=(const Hdf5Lock&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

// Returns an error about `what` in `file`, with the innermost message of HDF5's error stack. Call
// it directly after a failure. The code is ResourceExhausted where the disk or a quota is full,
// otherwise DataLoss.
absl::Status Hdf5Error(const std::string& file, const std::string& what);

}  // namespace finetune

#endif  // FINETUNE_DATA_HDF5_HANDLE_H_
