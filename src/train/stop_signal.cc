#include "src/train/stop_signal.h"

#include <atomic>

namespace finetune {
namespace {

// A signal handler can reach nothing but what is static.
std::atomic<int> received_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void Note(int signal) {
  if (received_signal.exchange(signal) == SIGINT && signal == SIGINT) {
    // Asked twice from the keyboard: the default action, now.
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
    raise(signal);
  }
}

}  // namespace

StopSignal::StopSignal() {
  received_signal = 0;
  struct sigaction action = {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, &old_term_);
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGUSR1, &action, &old_usr1_);
}

StopSignal::~StopSignal() {
  sigaction(SIGTERM, &old_term_, nullptr);
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGUSR1, &old_usr1_, nullptr);
}

int StopSignal::received() const { return received_signal; }

}  // namespace finetune
