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
  // The kind of the flag's value, for the help and for the completion in a shell.
  enum class Kind {
    kSwitch,  // a flag without a value
    kText,
    kFile,    // a file's path; a leading "~" means HOME
    kFolder,  // a folder's path; a leading "~" means HOME
    kConfig,  // a config's path, or a name in the config search path
    kField,   // PATH=VALUE: sets a field of the config
    kTopic,   // a command, or the path of a field of the config
  };
  std::string name;   // "--work_dir"; a positional argument has no dashes: "WORK_DIR"
  std::string value;  // the value's name in the help: "DIR"
  std::string help;
  Kind kind = Kind::kText;
  std::vector<std::string> choices = {};  // the values that the completion in a shell offers
  bool repeatable = false;
  bool required = false;
  // Sets the flag's variable from the text that was typed; for a switch the text is "true" or
  // "false". Errors: InvalidArgument with what was expected, without the flag's name.
  std::function<absl::Status(const std::string&)> set = nullptr;

  bool IsPositional() const { return name.front() != '-'; }
};

// The flags of one command, in the order in which its help shows them. The variables must outlive
// the list and hold the defaults. Each function adds a flag and returns it, so that the caller can
// change it. The pointer is valid until the next flag is added.
class FlagList {
 public:
  Flag* Switch(std::string name, std::string help, bool* variable);
  Flag* Text(std::string name, std::string value, std::string help, std::string* variable);
  Flag* TrueOrFalse(std::string name, std::string help, bool* variable);
  Flag* WholeNumber(std::string name, std::string help, int64_t low, int64_t* variable);
  Flag* WholeNumber(std::string name, std::string help, int low, int high, int* variable);
  Flag* Number(std::string name, std::string help, double low, double high, double* variable);
  // Takes a size such as 40GiB and sets the number of bytes.
  Flag* ByteSize(std::string name, std::string help, int64_t* variable);
  // `kind`: kFile, kFolder or kConfig.
  Flag* Path(Flag::Kind kind, std::string name, std::string value, std::string help,
             std::string* variable);
  // The flags that the next two functions add can be given several times; each time appends to
  // `variable`.
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
