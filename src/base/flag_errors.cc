#include "src/base/flag_errors.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/suggest_flag.h"

namespace finetune {
namespace {

// Returns the part of CLI11's `message` before `separator`, which is the flag's name: "--config"
// for "--config: 1 required TEXT missing".
std::string NameBefore(const std::string& message, const char* separator) {
  return message.substr(0, message.find(separator));
}

// Returns an error message for the first surplus argument, with advice; "" where there is none.
// `lacking`: a required flag that is missing, or "". A surplus argument may be that flag's value.
std::string ExplainExtras(const CLI::App& app, const std::vector<std::string>& arguments,
                          const std::string& lacking) {
  const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
  // Finds the surplus argument that the user typed first. CLI11 lists them in another order.
  const auto first =
      std::find_first_of(arguments.begin(), arguments.end(), extras.begin(), extras.end());
  if (first == arguments.end()) return "";
  const size_t equals = first->find('=');
  std::string advice = "values follow their flag, as in --flag=value";
  if (!lacking.empty()) {
    advice = absl::StrCat("did you mean ", lacking, "=", *first, "?");
  } else if (equals != std::string::npos && first->find('.') < equals) {
    advice = absl::StrCat("did you mean --set=", *first, "?");
  } else if (absl::StartsWith(*first, "-")) {
    advice = "flags begin with two dashes";
  }
  return absl::StrCat(first->empty() ? "an empty argument" : *first, ": is not expected here; ",
                      advice);
}

}  // namespace

std::string ExplainFlags(const CLI::App& app, const std::vector<std::string>& arguments,
                         const CLI::ParseError& error) {
  if (std::string suggestion = SuggestFlag(app, arguments); !suggestion.empty()) return suggestion;
  const std::string what = error.what();
  const bool lacks = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  if (lacks || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::string lacking = NameBefore(what, " is required");
    std::string extras =
        ExplainExtras(app, arguments, lacks && absl::StartsWith(lacking, "--") ? lacking : "");
    if (!extras.empty()) return extras;
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    const std::string name = NameBefore(what, ":");
    return absl::StrContains(what, "At Most")
               ? absl::StrCat(name, ": is given more than once")
               : absl::StrCat(name, ": has no value; it is given as ", name, "=VALUE");
  }
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    if (const size_t equals = what.find(" = "); equals != std::string::npos) {
      const size_t colon = what.find(": ");
      const std::string name = what.substr(colon + 2, equals - colon - 2);
      return absl::StrCat(name, ": cannot take ", what.substr(equals + 3), "; see --help");
    }
  }
  return absl::StrCat(
      what, dynamic_cast<const CLI::ValidationError*>(&error) != nullptr ? "" : "; see --help");
}

CLI::Validator WholeNumber(int64_t low, int64_t high) {
  return CLI::Validator(
      [low, high](std::string& text) -> std::string {
        int64_t value = 0;
        // CLI11 reads a number with a leading 0 as octal.
        const size_t digits = text.find_first_not_of("+-");
        const size_t first = text.find_first_not_of("+-0");
        if (digits != std::string::npos && text[digits] == '0' && first != std::string::npos &&
            absl::ascii_isdigit(static_cast<unsigned char>(text[first]))) {
          return absl::StrCat("expected a whole number without a leading 0, got ", text);
        }
        if (absl::SimpleAtoi(text, &value) && value >= low && value <= high) return "";
        return absl::StrCat("expected a whole number ",
                            high == INT64_MAX ? absl::StrCat("of ", low, " or more")
                                              : absl::StrCat("from ", low, " to ", high),
                            ", got ", text);
      },
      "");
}

CLI::Validator NumberBetween(double low, double high) {
  return CLI::Validator(
      [low, high](std::string& text) -> std::string {
        double value = 0;
        if (absl::SimpleAtod(text, &value) && value >= low && value <= high) return "";
        return absl::StrCat("expected a number from ", low, " to ", high, ", got ", text);
      },
      "");
}

CLI::Validator TrueOrFalse() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        if (text == "true" || text == "false") return "";
        return absl::StrCat("expected true or false, got ", text);
      },
      "");
}

}  // namespace finetune
