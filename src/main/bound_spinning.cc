// Bounds how long a thread of OpenMP spins for another before it sleeps.
//
// LibTorch's OpenMP runtime (libgomp) has a thread look 300000 times whether the others have come,
// which takes 5 ms and more, before it sleeps. Where other programs take the cores, the awaited
// thread often has no core, and the one that waits burns its own time in vain: two threads on two
// taken cores then take ten times as long as their share of the cores would. 10000 looks take 0.2
// ms (0.5 ms on processors with a long PAUSE). That is several times as long as it takes to fall
// asleep and to be woken, so on free cores hardly any wait grows, and none by much.
//
// libgomp reads GOMP_SPINCOUNT when it is loaded, before main(), and offers no call that changes
// it. So the program starts itself again with the variable set. It does so in .preinit_array, which
// runs before the constructors of any library: those of LibTorch take half a second, while loading
// the libraries once more takes 20 ms. The C library is not initialised yet there (getenv() and
// setenv() see no environment); system calls and functions on plain memory work.
//
// Whoever sets GOMP_SPINCOUNT or OMP_WAIT_POLICY keeps what is set.
#include <alloca.h>
#include <unistd.h>

#include <climits>
#include <cstring>

namespace {

char spin_count[] = "GOMP_SPINCOUNT=10000";

bool Sets(const char* variable, const char* name) {
  const size_t length = std::strlen(name);
  return std::strncmp(variable, name, length) == 0 && variable[length] == '=';
}

void BoundSpinning(int /*argc*/, char** argv, char** environment) {
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (Sets(environment[count], "GOMP_SPINCOUNT") || Sets(environment[count], "OMP_WAIT_POLICY")) {
      return;
    }
  }
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (length < 0) return;
  program[length] = '\0';
  auto** longer = static_cast<char**>(alloca((count + 2) * sizeof(char*)));
  std::memcpy(longer, environment, count * sizeof(char*));
  longer[count] = spin_count;
  longer[count + 1] = nullptr;
  // Returns only where it fails: then this process goes on, and spins for longer.
  execve(program, argv, longer);
}

using Function = void (*)(int, char**, char**);
__attribute__((section(".preinit_array"), used)) const Function bound_spinning = BoundSpinning;

}  // namespace
