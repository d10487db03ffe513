#ifndef FINETUNE_BASE_FLAG_ERRORS_H_
#define FINETUNE_BASE_FLAG_ERRORS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace finetune {

// Returns the message for the user after `app` refused `arguments` (without the program's name)
// with `error`. The message names the flag and says what was found, what was expected and what to
// do.
std::string ExplainFlags(const CLI::App& app, const std::vector<std::string>& arguments,
                         const CLI::ParseError& error);

// Return checks of a flag's value that have readable errors. CLI11's own checks say "Value 0 not in
// range 0.000000 to 1797693..." and accept a whole number that overflows its variable.
CLI::Validator WholeNumber(int64_t low, int64_t high = INT64_MAX);
CLI::Validator NumberBetween(double low, double high);
CLI::Validator TrueOrFalse();

}  // namespace finetune

#endif  // FINETUNE_BASE_FLAG_ERRORS_H_
