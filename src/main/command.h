#ifndef FINETUNE_MAIN_COMMAND_H_
#define FINETUNE_MAIN_COMMAND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/main/flags.h"

namespace finetune {

class Command;
using CommandList = std::vector<std::unique_ptr<Command>>;

// How the program was started.
struct Invocation {
  int argc;
  char** argv;
  int rank;  // this process's rank as the launcher sets it; 0 without a launcher
  const CommandList& commands;
};

// A command of the program, such as "finetune evaluate". All commands are listed in
// src/main/commands/all.cc; help, parsing, completion and dispatch follow from that list.
//
// A command derives from LocalCommand, which runs without MPI, or from RankCommand, which runs on
// all ranks. One that prints while it runs, without MPI, derives from Command itself.
class Command {
 public:
  Command() = default;
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  virtual std::string name() const = 0;
  // Returns one line for the list of commands, without a full stop.
  virtual std::string summary() const = 0;
  // Returns one or two command lines for the help.
  virtual std::vector<std::string> examples() const = 0;

  // Adds the flags, whose variables are members of this object. May be called more than once.
  virtual void AddFlags(FlagList* flags) = 0;
  // Checks that the flags can be combined. The program calls it once, after all flags are set and
  // before Run(). Errors: InvalidArgument with the flag and what to do.
  virtual absl::Status Check() const { return absl::OkStatus(); }
  // Does the work and returns the program's exit code. The program calls it once, if Check()
  // returned OK.
  virtual int Run(const Invocation& invocation) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMAND_H_
