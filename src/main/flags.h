#ifndef FINETUNE_MAIN_FLAGS_H_
#define FINETUNE_MAIN_FLAGS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace finetune {

// One flag of a command.
struct Flag {
  // What its value is, for help and for the completion of a shell.
  enum class Kind {
    kSwitch,  // it has no value
    kText,
    kFile,    // a path; a "~" in front means HOME
    kFolder,  // likewise
    kConfig,  // likewise; a config, which is also sought in the search path
    kField,   // PATH=VALUE, for a field of a config
  };
  std::string name;   // "--work_dir"; without dashes, an argument by its position: "WORK_DIR"
  std::string value;  // the value's name in the help: "DIR"
  std::string help;
  Kind kind = Kind::kText;
  std::vector<std::string> choices = {};  // the values that a shell offers
  bool repeatable = false;
  bool required = false;
  // Takes the value as it was typed; "true" or "false" for a switch. Errors: InvalidArgument with
  // what was expected, without the flag's name.
  std::function<absl::Status(const std::string&)> set = nullptr;

  bool IsPositional() const { return name.front() != '-'; }
};

// The flags of one command, in the order in which its help shows them. The variables must outlive
// the list, and hold the defaults. Each function returns the flag that it has added, to be changed
// before the next one is added.
class FlagList {
 public:
  Flag* Switch(std::string name, std::string help, bool* variable);
  Flag* Text(std::string name, std::string value, std::string help, std::string* variable);
  Flag* TrueOrFalse(std::string name, std::string help, bool* variable);
  Flag* WholeNumber(std::string name, std::string help, int64_t low, int64_t* variable);
  Flag* WholeNumber(std::string name, std::string help, int low, int high, int* variable);
  // `kind`: kFile, kFolder or kConfig.
  Flag* Path(Flag::Kind kind, std::string name, std::string value, std::string help,
             std::string* variable);
  // The next two can be given several times; each time appends.
  Flag* Texts(std::string name, std::string value, std::string help,
              std::vector<std::string>* variable);
  Flag* Paths(Flag::Kind kind, std::string name, std::string value, std::string help,
              std::vector<std::string>* variable);

  const std::vector<Flag>& flags() const { return flags_; }

 private:
  Flag* Add(Flag flag);

  std::vector<Flag> flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_FLAGS_H_
