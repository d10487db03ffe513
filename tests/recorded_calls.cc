// When it is preloaded (LD_PRELOAD), this library records the calls by which one process changes
// the files of a folder, so that tests/crash_test.cc can replay a crash of the machine after any of
// them.
//
//   RECORD_BELOW=/tmp/run   the folder, as an absolute path
//   RECORD_LOG=/tmp/log     the file to which the calls are appended, in the order in which they
//   end
//
// Each call that succeeded is one entry: a line "KIND INODE NUMBER BYTES", then that many bytes of
// data, then a line end. Paths in the data are relative to the folder.
//
//   KIND       INODE and NUMBER                                      data
//   open       the file; 1 if the call empties it                    path
//   write      the file; position in the file                        the bytes
//   truncate   the file; new size                                    none
//   sync       the file, or the folder itself                        none
//   rename     0                                                     old path, NUL, new path
//   link       0                                                     old path, NUL, new path
//   symlink    0                                                     the link's text, NUL, path
//   unlink     0                                                     path
//
// The C library's own functions do not call the functions here. So those that finetune uses to
// create files (mkostemps) are replaced too. finetune writes no file of its work_dir by streams.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mutex>
#include <string>

namespace {

// Held during a call and until it is recorded, so that the entries have the order of the calls.
std::mutex& Order() {
  static std::mutex* const order = new std::mutex;  // lives until the process ends
  return *order;
}

// Returns the path relative to the recorded folder: "." for the folder itself. Returns "" for other
// paths.
std::string Relative(const char* path) {
  const char* below = getenv("RECORD_BELOW");
  if (below == nullptr || path == nullptr) return "";
  const size_t n = strlen(below);
  if (n == 0 || strncmp(path, below, n) != 0) return "";
  if (path[n] == '\0') return ".";
  return path[n] == '/' ? path + n + 1 : "";
}

// Returns Relative() of an open file.
std::string RelativeOf(int fd) {
  char link[64];
  char path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof(path) - 1);
  if (n < 0) return "";
  path[n] = '\0';
  return Relative(path);
}

unsigned long InodeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

void WriteAll(int fd, const char* bytes, size_t n) {
  while (n > 0) {
    const ssize_t written = syscall(SYS_write, fd, bytes, n);
    if (written <= 0) abort();  // a record with a gap would prove nothing
    bytes += written;
    n -= written;
  }
}

void Record(const char* kind, unsigned long inode, long long number, const std::string& data) {
  const int error = errno;
  const int fd = static_cast<int>(
      syscall(SYS_openat, AT_FDCWD, getenv("RECORD_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0666));
  if (fd < 0) abort();
  char line[128];
  const int n = snprintf(line, sizeof(line), "%s %lu %lld %zu\n", kind, inode, number, data.size());
  WriteAll(fd, line, n);
  WriteAll(fd, data.data(), data.size());
  WriteAll(fd, "\n", 1);
  syscall(SYS_close, fd);
  errno = error;
}

void RecordOpen(int fd, int flags) {
  if (fd < 0 || (flags & O_ACCMODE) == O_RDONLY) return;
  const std::string path = RelativeOf(fd);
  if (!path.empty()) Record("open", InodeOf(fd), (flags & O_TRUNC) != 0, path);
}

void RecordTwo(const char* kind, const std::string& from, const std::string& to) {
  Record(kind, 0, 0, from + std::string(1, '\0') + to);
}

template <typename Function>
Function Real(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define REAL(name)                               \
  static const auto real = Real(&::name, #name); \
  const std::lock_guard<std::mutex> order(Order())

#define OPEN(name, parameters, arguments)     \
  extern "C" int name parameters {            \
    REAL(name);                               \
    va_list more;                             \
    va_start(more, flags);                    \
    const mode_t mode = va_arg(more, mode_t); \
    va_end(more);                             \
    const int fd = real arguments;            \
    RecordOpen(fd, flags);                    \
    return fd;                                \
  }

OPEN(open, (const char* path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char* path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))

#define MAKE(name)                                         \
  extern "C" int name(char* path, int suffix, int flags) { \
    REAL(name);                                            \
    const int fd = real(path, suffix, flags);              \
    RecordOpen(fd, O_RDWR);                                \
    return fd;                                             \
  }
MAKE(mkostemps)
MAKE(mkostemps64)

extern "C" ssize_t write(int fd, const void* bytes, size_t count) {
  REAL(write);
  const ssize_t n = real(fd, bytes, count);
  if (n <= 0 || RelativeOf(fd).empty()) return n;
  Record("write", InodeOf(fd), lseek(fd, 0, SEEK_CUR) - n,
         std::string(static_cast<const char*>(bytes), n));
  return n;
}

extern "C" ssize_t writev(int fd, const iovec* parts, int count) {
  REAL(writev);
  const ssize_t n = real(fd, parts, count);
  if (n <= 0 || RelativeOf(fd).empty()) return n;
  std::string all;
  for (int i = 0; i < count; ++i) {
    all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  all.resize(n);
  Record("write", InodeOf(fd), lseek(fd, 0, SEEK_CUR) - n, all);
  return n;
}

#define PWRITE(name, type)                                                             \
  extern "C" ssize_t name(int fd, const void* bytes, size_t count, type at) {          \
    REAL(name);                                                                        \
    const ssize_t n = real(fd, bytes, count, at);                                      \
    if (n <= 0 || RelativeOf(fd).empty()) return n;                                    \
    Record("write", InodeOf(fd), at, std::string(static_cast<const char*>(bytes), n)); \
    return n;                                                                          \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, type)                                                               \
  extern "C" int name(int fd, type size) {                                                 \
    REAL(name);                                                                            \
    const int result = real(fd, size);                                                     \
    if (result == 0 && !RelativeOf(fd).empty()) Record("truncate", InodeOf(fd), size, ""); \
    return result;                                                                         \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                                  \
  extern "C" int name(int fd) {                                                     \
    REAL(name);                                                                     \
    const int result = real(fd);                                                    \
    const std::string path = result == 0 ? RelativeOf(fd) : "";                     \
    if (result == 0 && !path.empty()) Record("sync", InodeOf(fd), path == ".", ""); \
    return result;                                                                  \
  }
SYNC(fsync)
SYNC(fdatasync)

#define TWO_PATHS(name, kind)                                                              \
  extern "C" int name(const char* from, const char* to) {                                  \
    REAL(name);                                                                            \
    const int result = real(from, to);                                                     \
    if (result == 0 && !Relative(to).empty()) {                                            \
      RecordTwo(kind, strcmp(kind, "symlink") == 0 ? from : Relative(from), Relative(to)); \
    }                                                                                      \
    return result;                                                                         \
  }
TWO_PATHS(rename, "rename")
TWO_PATHS(link, "link")
TWO_PATHS(symlink, "symlink")

#define ONE_PATH(name)                                                                  \
  extern "C" int name(const char* path) {                                               \
    REAL(name);                                                                         \
    const int result = real(path);                                                      \
    if (result == 0 && !Relative(path).empty()) Record("unlink", 0, 0, Relative(path)); \
    return result;                                                                      \
  }
ONE_PATH(unlink)
ONE_PATH(remove)
