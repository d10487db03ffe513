// When it is preloaded (LD_PRELOAD), this library makes calls to the file system fail in one
// process, as on a bad disk or a network file system. Calls on files outside the folder FAULT_BELOW
// are not changed.
//
//   FAULT_BELOW=/tmp/run   a folder, as an absolute path
//   FAULT_CALL=write       the kind of call: open, read, write, sync, rename, link, mkdir, unlink,
//                          map, truncate, close
//   FAULT_AT=3             only the 3rd call of this kind fails; 0: no call fails, and all are
//                          logged
//   FAULT_ERRNO=28         the errno of the failing call
//   FAULT_LOG=/tmp/log     the file to which the path of the failing call is appended as a line
//
// With FAULT_CALL=short every read and write handles only half of its bytes. With
// FAULT_CALL=interrupt every second read, write and sync fails with EINTR.
//
// The C library's own functions do not call the functions here. So those C library functions that
// the tests use (fopen, mkostemps, opendir) are replaced here too, beside the system calls.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

namespace {

const char* Setting(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

bool Is(const char* kind) { return strcmp(Setting("FAULT_CALL"), kind) == 0; }

bool Below(const char* path) {
  const char* folder = Setting("FAULT_BELOW");
  const size_t n = strlen(folder);
  return n > 0 && strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

void Log(const char* path) {
  const int fd = static_cast<int>(
      syscall(SYS_openat, AT_FDCWD, Setting("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0666));
  char line[PATH_MAX + 2];
  const int n = snprintf(line, sizeof(line), "%s\n", path);
  (void)!syscall(SYS_write, fd, line, n);
  syscall(SYS_close, fd);
}

// Returns whether this call, of this kind and on this path, is the one that must fail. If so, sets
// errno.
bool Fails(const char* kind, const char* path) {
  if (path == nullptr || !Is(kind) || !Below(path)) return false;
  static std::atomic<int> calls{0};
  const int at = atoi(Setting("FAULT_AT"));
  const bool fails = ++calls == at;
  if (fails || at == 0) Log(path);
  if (!fails) return false;
  errno = atoi(Setting("FAULT_ERRNO"));
  return true;
}

// The path of an open file; "" where it has none. Does not change errno.
struct PathOf {
  explicit PathOf(int fd) {
    const int error = errno;
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t n = fd < 0 ? -1 : readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';
    errno = error;
  }
  char path[PATH_MAX];
};

bool Fails(const char* kind, int fd) { return Is(kind) && Fails(kind, PathOf(fd).path); }

bool Interrupted(int fd) {
  if (!Is("interrupt") || !Below(PathOf(fd).path)) return false;
  static std::atomic<unsigned> calls{0};
  if (calls++ % 2 == 1) return false;
  errno = EINTR;
  return true;
}

size_t Allowed(int fd, size_t count) {
  return count > 1 && Is("short") && Below(PathOf(fd).path) ? count / 2 : count;
}

template <typename Function>
Function Real(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define REAL(name) static const auto real = Real(&::name, #name)

#define OPEN(name, parameters, arguments, path)       \
  extern "C" int name parameters {                    \
    REAL(name);                                       \
    va_list more;                                     \
    va_start(more, flags);                            \
    const mode_t mode = va_arg(more, mode_t);         \
    va_end(more);                                     \
    return Fails("open", path) ? -1 : real arguments; \
  }

#define CALL(result, failed, kind, name, parameters, arguments, at) \
  extern "C" result name parameters {                               \
    REAL(name);                                                     \
    return Fails(kind, at) ? failed : real arguments;               \
  }

#define TRANSFER(kind, name, parameters, arguments)    \
  extern "C" ssize_t name parameters {                 \
    REAL(name);                                        \
    if (Fails(kind, fd) || Interrupted(fd)) return -1; \
    count = Allowed(fd, count);                        \
    return real arguments;                             \
  }

OPEN(open, (const char* path, int flags, ...), (path, flags, mode), path)
OPEN(open64, (const char* path, int flags, ...), (path, flags, mode), path)
OPEN(openat, (int folder, const char* path, int flags, ...), (folder, path, flags, mode), path)
OPEN(openat64, (int folder, const char* path, int flags, ...), (folder, path, flags, mode), path)
CALL(FILE*, nullptr, "open", fopen, (const char* path, const char* mode), (path, mode), path)
CALL(FILE*, nullptr, "open", fopen64, (const char* path, const char* mode), (path, mode), path)
CALL(DIR*, nullptr, "open", opendir, (const char* path), (path), path)
CALL(int, -1, "open", mkostemps, (char* path, int end, int flags), (path, end, flags), path)
CALL(int, -1, "open", mkostemps64, (char* path, int end, int flags), (path, end, flags), path)

TRANSFER("read", read, (int fd, void* bytes, size_t count), (fd, bytes, count))
TRANSFER("read", pread, (int fd, void* bytes, size_t count, off_t at), (fd, bytes, count, at))
TRANSFER("read", pread64, (int fd, void* bytes, size_t count, off64_t at), (fd, bytes, count, at))
TRANSFER("write", write, (int fd, const void* bytes, size_t count), (fd, bytes, count))
TRANSFER("write", pwrite, (int fd, const void* bytes, size_t count, off_t at),
         (fd, bytes, count, at))
TRANSFER("write", pwrite64, (int fd, const void* bytes, size_t count, off64_t at),
         (fd, bytes, count, at))
CALL(ssize_t, -1, "write", writev, (int fd, const iovec* parts, int n), (fd, parts, n), fd)
// Sets the error flag of the stream, as a real failure does.
#define STREAM(kind, name, parameters, arguments)          \
  extern "C" size_t name parameters {                      \
    REAL(name);                                            \
    if (!Fails(kind, fileno(file))) return real arguments; \
    file->_flags |= 0x20; /* _IO_ERR_SEEN */               \
    return 0;                                              \
  }
STREAM("read", fread, (void* bytes, size_t size, size_t n, FILE* file), (bytes, size, n, file))
STREAM("write", fwrite, (const void* bytes, size_t size, size_t n, FILE* file),
       (bytes, size, n, file))

extern "C" int fsync(int fd) {
  REAL(fsync);
  return Fails("sync", fd) || Interrupted(fd) ? -1 : real(fd);
}
extern "C" int fdatasync(int fd) {
  REAL(fdatasync);
  return Fails("sync", fd) || Interrupted(fd) ? -1 : real(fd);
}
CALL(int, -1, "rename", rename, (const char* from, const char* to), (from, to), to)
CALL(int, -1, "rename", renameat2,
     (int from_folder, const char* from, int to_folder, const char* to, unsigned flags),
     (from_folder, from, to_folder, to, flags), to)
CALL(int, -1, "link", link, (const char* from, const char* to), (from, to), to)
CALL(int, -1, "link", symlink, (const char* from, const char* to), (from, to), to)
CALL(int, -1, "mkdir", mkdir, (const char* path, mode_t mode), (path, mode), path)
CALL(char*, nullptr, "mkdir", mkdtemp, (char* path), (path), path)
CALL(int, -1, "unlink", unlink, (const char* path), (path), path)
CALL(int, -1, "unlink", remove, (const char* path), (path), path)
CALL(int, -1, "unlink", rmdir, (const char* path), (path), path)
CALL(void*, MAP_FAILED, "map", mmap,
     (void* at, size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset), fd)
CALL(void*, MAP_FAILED, "map", mmap64,
     (void* at, size_t size, int access, int flags, int fd, off64_t offset),
     (at, size, access, flags, fd, offset), fd)
CALL(int, -1, "truncate", ftruncate, (int fd, off_t size), (fd, size), fd)
CALL(int, -1, "truncate", ftruncate64, (int fd, off64_t size), (fd, size), fd)

// The descriptor is closed also where the call fails, as Linux does.
extern "C" int close(int fd) {
  REAL(close);
  const bool fails = Fails("close", fd);
  const int error = errno, result = real(fd);
  if (!fails) return result;
  errno = error;
  return -1;
}

extern "C" int unlinkat(int folder, const char* path, int flags) {
  REAL(unlinkat);
  if (Is("unlink")) {
    // std::filesystem deletes by unlinkat() with the descriptor of the folder and a name in it.
    PathOf whole(folder == AT_FDCWD ? -1 : folder);
    const size_t n = strlen(whole.path);
    snprintf(whole.path + n, sizeof(whole.path) - n, "%s%s", n > 0 ? "/" : "", path);
    if (Fails("unlink", whole.path)) return -1;
  }
  return real(folder, path, flags);
}
