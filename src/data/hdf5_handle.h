#ifndef FINETUNE_DATA_HDF5_HANDLE_H_
#define FINETUNE_DATA_HDF5_HANDLE_H_

#include <hdf5.h>

#include <string>
#include <utility>

#include "src/base/status_macros.h"

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

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

// The innermost message of HDF5's error stack, as an error about `what` in `file`. Call it at once
// after a failure.
absl::Status Hdf5Error(const std::string& file, const std::string& what);

// Stops HDF5 from printing its errors to stderr while it lives, in this thread.
class Hdf5Quiet {
 public:
  Hdf5Quiet();
  ~Hdf5Quiet();
  Hdf5Quiet(const Hdf5Quiet&) = delete;
  Hdf5Quiet& operator=(const Hdf5Quiet&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_HDF5_HANDLE_H_
