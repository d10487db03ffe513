#include "src/train/stop_signal.h"

#include <unistd.h>

#include <atomic>
#include <string_view>

namespace finetune {
namespace {

// The leading \n ends the progress line and the "^C" that the terminal prints.
constexpr std::string_view kAnswer = "\nasked to stop: finishing this iteration and saving\n";
constexpr std::string_view kInterruptAnswer =
    "\nasked to stop: finishing this iteration and saving; a second Ctrl-C ends the program at "
    "once, without saving\n";

// A signal handler can use only static variables.
std::atomic<int> received_signal{0};
std::atomic<bool> answers_signals{false};
std::atomic<pid_t> launcher_process{0};
std::atomic<bool> warned{false};
std::atomic<bool> was_answered{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void Note(int signal) {
  const int earlier = received_signal.exchange(signal);
  // A launcher also sends SIGTERM when another rank has died. Then nothing can be saved, and a
  // promise to save would be wrong.
  if (signal != SIGTERM && answers_signals && !was_answered.exchange(true)) {
    // Whoever sends another signal may have no terminal to press Ctrl-C in.
    const std::string_view answer = signal == SIGINT ? kInterruptAnswer : kAnswer;
    // A failed write loses only the answer.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, answer.data(), answer.size());
  }
  if (earlier == SIGINT && signal == SIGINT) {
    // A second Ctrl-C: take the default action now.
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
    raise(signal);
  }
}

void NoteContinue(int /*signal*/, siginfo_t* info, void* /*context*/) {
  if (info->si_pid == launcher_process) warned = true;
}

}  // namespace

StopSignal::StopSignal(bool answers, pid_t launcher) {
  received_signal = 0;
  answers_signals = answers;
  launcher_process = launcher;
  warned = false;
  was_answered = false;
  struct sigaction action = {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, &old_term_);
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGUSR1, &action, &old_usr1_);
  sigaction(SIGHUP, nullptr, &old_hup_);
  if (old_hup_.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  struct sigaction note_continue = {};
  note_continue.sa_sigaction = NoteContinue;
  note_continue.sa_flags = SA_RESTART | SA_SIGINFO;
  sigaction(SIGCONT, &note_continue, &old_cont_);
}

StopSignal::~StopSignal() {
  sigaction(SIGTERM, &old_term_, nullptr);
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGUSR1, &old_usr1_, nullptr);
  sigaction(SIGHUP, &old_hup_, nullptr);
  sigaction(SIGCONT, &old_cont_, nullptr);
}

int StopSignal::received() const { return received_signal; }

bool StopSignal::TakeWarning() { return warned.exchange(false); }

bool StopSignal::answered() const { return was_answered; }

}  // namespace finetune
