#ifndef FINETUNE_BASE_FD_H_
#define FINETUNE_BASE_FD_H_

#include <unistd.h>

#include <utility>

namespace finetune {

// Owns a file descriptor and closes it when destroyed.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (ok()) close(fd_);
  }

  // Returns whether this object holds a descriptor. It does not after Fd(-1): open() and similar
  // calls return -1 for an error.
  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Gives the descriptor to the caller, who must close it.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace finetune

#endif  // FINETUNE_BASE_FD_H_
