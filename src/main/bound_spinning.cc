// Bounds the time that a thread of OpenMP spins while it waits for another, before it sleeps.
//
// A waiting thread of LibTorch's OpenMP runtime (libgomp) checks 300000 times whether the others
// have arrived before it sleeps, which takes 5 ms and more. If other programs use the cores, the
// awaited thread often has no core, and the waiting thread wastes its own time: two threads on two
// busy cores then take ten times as long as their share of the cores would. 10000 checks take 0.2
// ms (0.5 ms on processors with a long PAUSE). That is several times as long as falling asleep and
// waking up take, so on free cores waiting takes hardly longer.
//
// libgomp reads GOMP_SPINCOUNT once, when it is loaded, and has no function that changes it. So the
// variable must be in the environment before the constructors of the libraries run. Functions in
// .preinit_array do run before them, but the C library is not initialized yet at that point:
// setenv() does nothing. The array of the environment, which the kernel has put on the stack, has
// no room for one more entry. So SetSpinCount() lends libgomp the entry of a variable that no
// library reads, and GiveEntryBack() restores the entry before main() begins. (The program could
// start itself again with a longer environment instead. That would load all libraries twice, which
// takes 50 ms of processor time in each rank.)
//
// If the user sets GOMP_SPINCOUNT or OMP_WAIT_POLICY, or the environment has none of the variables
// that can be lent, nothing is changed.
#include <unistd.h>

#include <cstring>
#include <initializer_list>

namespace {

char spin_count[] = "GOMP_SPINCOUNT=10000";

// The entry of the environment that `spin_count` stands in for; null if there is none.
char* lent_entry = nullptr;

bool Sets(const char* variable, const char* name) {
  const size_t length = std::strlen(name);
  return std::strncmp(variable, name, length) == 0 && variable[length] == '=';
}

// Shells, launchers or containers set these, and only people and shells read them.
bool CanBeLent(const char* variable) {
  for (const char* name : {"_", "SHLVL", "OLDPWD", "PWD", "HOSTNAME", "LOGNAME", "USER"}) {
    if (Sets(variable, name)) return true;
  }
  return false;
}

void SetSpinCount(int /*argc*/, char** /*argv*/, char** environment) {
  char** lent = nullptr;
  for (char** entry = environment; *entry != nullptr; ++entry) {
    if (Sets(*entry, "GOMP_SPINCOUNT") || Sets(*entry, "OMP_WAIT_POLICY")) return;
    if (lent == nullptr && CanBeLent(*entry)) lent = entry;
  }
  if (lent == nullptr) return;
  lent_entry = *lent;
  *lent = spin_count;
}

using Function = void (*)(int, char**, char**);
__attribute__((section(".preinit_array"), used)) const Function set_spin_count = SetSpinCount;

// Runs after the constructors of all libraries, any of which may have copied the array.
__attribute__((constructor)) void GiveEntryBack() {
  for (char** entry = environ; lent_entry != nullptr && *entry != nullptr; ++entry) {
    if (*entry == spin_count) *entry = lent_entry;
  }
}

}  // namespace
