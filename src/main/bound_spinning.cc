// Bounds the time that a thread of OpenMP spins while it waits for another, before it sleeps.
//
// A waiting thread of LibTorch's OpenMP runtime (libgomp) checks 300000 times whether the others
// have arrived before it sleeps, which takes 5 ms and more. If other programs use the cores, the
// awaited thread often has no core, and the waiting thread wastes its own time: two threads on two
// busy cores then take ten times as long as their share of the cores would. 10000 checks take 0.2
// ms (0.5 ms on processors with a long PAUSE). That is several times as long as falling asleep and
// waking up take, so on free cores waiting takes hardly longer.
//
// libgomp reads GOMP_SPINCOUNT when it is loaded, before main(), and has no function that changes
// it. So the program starts itself again with the variable set. It does so in .preinit_array, which
// runs before the constructors of any library: those of LibTorch take half a second, while loading
// the libraries once more takes 20 ms. The C library is not initialized yet at that point (getenv()
// and setenv() see no environment); system calls and functions on plain memory work.
//
// If the user sets GOMP_SPINCOUNT or OMP_WAIT_POLICY, nothing is changed.
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
  // execve() returns only if it fails. Then this process continues with the longer spinning.
  execve(program, argv, longer);
}

using Function = void (*)(int, char**, char**);
__attribute__((section(".preinit_array"), used)) const Function bound_spinning = BoundSpinning;

}  // namespace
