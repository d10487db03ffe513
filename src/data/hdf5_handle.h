#ifndef FINETUNE_DATA_HDF5_HANDLE_H_
#define FINETUNE_DATA_HDF5_HANDLE_H_

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace finetune {

// Owns an HDF5 identifier and closes it with the function for its kind of object, such as H5Dclose.
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

  // Closes the identifier now. Returns false if HDF5 reports an error. For a file this tells that
  // its last bytes could not be written.
  bool Reset() { return id_ < 0 || close_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

// A lock on the whole HDF5 library, which is built without thread safety. Hold one around every use
// of HDF5, including the closing of handles. While it is held, HDF5 does not print its errors to
// stderr.
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

// Returns an error with the text "<file>: <what>: <reason>", where the reason is the innermost
// message of HDF5's error stack. Call it directly after the HDF5 function that failed. The code is
// ResourceExhausted if the disk or a quota is full, otherwise DataLoss.
absl::Status Hdf5Error(const std::string& file, const std::string& what);

}  // namespace finetune

#endif  // FINETUNE_DATA_HDF5_HANDLE_H_
