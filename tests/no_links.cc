// Simulates a file system without links. symlink() fails if the environment has NO_SYMBOLIC_LINKS,
// and link() fails if it has NO_HARD_LINKS, with the errors of Linux's FAT file system. These
// functions replace the C library's in a program that links this file or loads it by LD_PRELOAD.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

extern "C" {

int symlink(const char* target, const char* path) noexcept {
  if (std::getenv("NO_SYMBOLIC_LINKS") != nullptr) {
    errno = EPERM;
    return -1;
  }
  return static_cast<int>(syscall(SYS_symlinkat, target, AT_FDCWD, path));
}

int link(const char* from, const char* to) noexcept {
  if (std::getenv("NO_HARD_LINKS") != nullptr) {
    errno = EPERM;
    return -1;
  }
  return static_cast<int>(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}
}
