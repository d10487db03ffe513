#ifndef FINETUNE_BASE_FD_H_
#define FINETUNE_BASE_FD_H_

#include <unistd.h>

#include <utility>

namespace finetune {

// A file descriptor, closed with its owner.
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

  // Whether there is one: open() and its like give -1 for an error.
  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Leaves it to the caller to close.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace finetune

#endif  // FINETUNE_BASE_FD_H_
