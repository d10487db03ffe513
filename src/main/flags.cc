#include "src/main/flags.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "src/base/byte_size.h"
#include "src/base/expand_home.h"
#include "src/base/flag_errors.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

// Returns the result of a check of src/base/flag_errors.h on `text` as a status.
absl::Status Passes(const CLI::Validator& check, std::string text) {
  const std::string wrong = check(text);
  return wrong.empty() ? absl::OkStatus() : absl::InvalidArgumentError(wrong);
}

template <typename Int>
std::function<absl::Status(const std::string&)> WholeNumberSetter(int64_t low, int64_t high,
                                                                  Int* variable) {
  return [low, high, variable](const std::string& text) -> absl::Status {
    FT_RETURN_IF_ERROR(Passes(finetune::WholeNumber(low, high), text));
    (void)absl::SimpleAtoi(text, variable);
    return absl::OkStatus();
  };
}

}  // namespace

Flag* FlagList::Switch(std::string name, std::string help, bool* variable) {
  Flag flag{.name = std::move(name), .value = "", .help = std::move(help)};
  flag.kind = Flag::Kind::kSwitch;
  flag.set = [variable](const std::string& text) {
    *variable = text == "true";
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::Text(std::string name, std::string value, std::string help, std::string* variable) {
  Flag flag{.name = std::move(name), .value = std::move(value), .help = std::move(help)};
  flag.set = [variable](const std::string& text) {
    *variable = text;
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::TrueOrFalse(std::string name, std::string help, bool* variable) {
  Flag flag{.name = std::move(name), .value = "true|false", .help = std::move(help)};
  flag.choices = {"true", "false"};
  flag.set = [variable](const std::string& text) -> absl::Status {
    FT_RETURN_IF_ERROR(Passes(finetune::TrueOrFalse(), text));
    *variable = text == "true";
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::WholeNumber(std::string name, std::string help, int64_t low, int64_t* variable) {
  Flag flag{.name = std::move(name), .value = "N", .help = std::move(help)};
  flag.set = WholeNumberSetter(low, INT64_MAX, variable);
  return Add(std::move(flag));
}

Flag* FlagList::WholeNumber(std::string name, std::string help, int low, int high, int* variable) {
  Flag flag{.name = std::move(name), .value = "N", .help = std::move(help)};
  flag.set = WholeNumberSetter(low, high, variable);
  return Add(std::move(flag));
}

Flag* FlagList::Number(std::string name, std::string help, double low, double high,
                       double* variable) {
  Flag flag{.name = std::move(name), .value = "X", .help = std::move(help)};
  flag.set = [low, high, variable](const std::string& text) -> absl::Status {
    FT_RETURN_IF_ERROR(Passes(NumberBetween(low, high), text));
    (void)absl::SimpleAtod(text, variable);
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::ByteSize(std::string name, std::string help, int64_t* variable) {
  Flag flag{.name = std::move(name), .value = "SIZE", .help = std::move(help)};
  flag.set = [variable](const std::string& text) -> absl::Status {
    FT_ASSIGN_OR_RETURN(*variable, ParseByteSize(text));
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::Path(Flag::Kind kind, std::string name, std::string value, std::string help,
                     std::string* variable) {
  Flag flag{.name = std::move(name), .value = std::move(value), .help = std::move(help)};
  flag.kind = kind;
  // Expands a "~" that the shell did not expand, as in --work_dir='~/x'.
  flag.set = [variable](const std::string& text) -> absl::Status {
    FT_ASSIGN_OR_RETURN(*variable, ExpandHome(text));
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::Texts(std::string name, std::string value, std::string help,
                      std::vector<std::string>* variable) {
  Flag flag{.name = std::move(name), .value = std::move(value), .help = std::move(help)};
  flag.repeatable = true;
  flag.set = [variable](const std::string& text) {
    variable->push_back(text);
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::Paths(Flag::Kind kind, std::string name, std::string value, std::string help,
                      std::vector<std::string>* variable) {
  Flag flag{.name = std::move(name), .value = std::move(value), .help = std::move(help)};
  flag.kind = kind;
  flag.repeatable = true;
  flag.set = [variable](const std::string& text) -> absl::Status {
    FT_ASSIGN_OR_RETURN(std::string path, ExpandHome(text));
    variable->push_back(std::move(path));
    return absl::OkStatus();
  };
  return Add(std::move(flag));
}

Flag* FlagList::Add(Flag flag) {
  flags_.push_back(std::move(flag));
  return &flags_.back();
}

}  // namespace finetune
