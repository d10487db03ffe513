#ifndef FINETUNE_DATA_HDF5_HANDLE_H_
#define FINETUNE_DATA_HDF5_HANDLE_H_

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace finetune {

// An HDF5 identifier that is closed with its own function.
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

  // Closes it now; false where HDF5 could not (a file's last writes fail here).
  bool Reset() { return id_ < 0 || close_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

// Needed around every use of HDF5, the closing of handles included: the library is built without
// thread safety, and left alone it prints its errors to stderr.
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

// The innermost message of HDF5's error stack, as an error about `what` in `file`. Call it at once
// after a failure. ResourceExhausted where the disk or a quota is full, else DataLoss.
absl::Status Hdf5Error(const std::string& file, const std::string& what);

}  // namespace finetune

#endif  // FINETUNE_DATA_HDF5_HANDLE_H_
