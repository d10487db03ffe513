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
  int rank;  // the launcher's, before MPI starts; 0 without a launcher
  const CommandList& commands;
};

// A command of the program: "finetune evaluate". Its list is in src/main/commands/all.cc; help,
// parsing, completion and dispatch follow from that list.
//
// A command derives from LocalCommand, which runs before MPI, or from RankCommand, which runs on
// all ranks.
class Command {
 public:
  Command() = default;
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  virtual std::string name() const = 0;
  // For the list of commands: a line without a full stop.
  virtual std::string summary() const = 0;
  // One or two command lines.
  virtual std::vector<std::string> examples() const = 0;

  // Adds the flags, whose variables are members of this object. May be called more than once.
  virtual void AddFlags(FlagList* flags) = 0;
  // Whether the flags go together. Called once, after all of them are set. Errors: InvalidArgument
  // with the flag and what to do.
  virtual absl::Status Check() const { return absl::OkStatus(); }
  // Does the work and returns the program's exit code. Called once, after Check() was OK.
  virtual int Run(const Invocation& invocation) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMAND_H_
