// When it is preloaded (LD_PRELOAD), this library makes pread() throw an exception on the rank
// THROW_ON_RANK, from the call number THROW_AT on. The data loader expects no exception there.
#include <dlfcn.h>
#include <sys/types.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

bool Throws() {
  static std::atomic<int> calls{0};
  // Reads the rank from the variables of Open MPI or MPICH. The function in src that does so needs
  // Abseil, which this shared object cannot link.
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (rank == nullptr) rank = std::getenv("PMI_RANK");
  const char* on = std::getenv("THROW_ON_RANK");
  const char* at = std::getenv("THROW_AT");
  return rank != nullptr && on != nullptr && at != nullptr && std::string(rank) == on &&
         ++calls >= std::atoi(at);
}

}  // namespace

extern "C" ssize_t pread(int fd, void* buffer, size_t count, off_t offset) {
  if (Throws()) throw std::runtime_error("a bug that nobody thought of");
  using Read = ssize_t (*)(int, void*, size_t, off_t);
  static const auto real = reinterpret_cast<Read>(dlsym(RTLD_NEXT, "pread"));
  return real(fd, buffer, count, offset);
}
