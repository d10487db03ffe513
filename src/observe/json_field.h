#ifndef FINETUNE_OBSERVE_JSON_FIELD_H_
#define FINETUNE_OBSERVE_JSON_FIELD_H_

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns a field's number; `otherwise` if the field is missing, null or of another type.
inline double NumberField(const nlohmann::json& object, const char* name, double otherwise) {
  const auto field = object.find(name);
  return field != object.end() && field->is_number() ? field->get<double>() : otherwise;
}

// Returns the integer that `json` holds; nullopt if it is not a number or is beyond 2^53. Only a
// damaged file has a larger number, and sums of such numbers could overflow. Other programs may
// write a count as 3.0.
inline std::optional<int64_t> ToInteger(const nlohmann::json& json) {
  constexpr double kMost = int64_t{1} << 53;
  if (!json.is_number()) return std::nullopt;
  const auto number = json.get<double>();
  if (!(std::abs(number) <= kMost)) return std::nullopt;
  return static_cast<int64_t>(number);
}

// Returns a field's number as an integer; `otherwise` if ToInteger() finds none.
inline int64_t IntegerField(const nlohmann::json& object, const char* name, int64_t otherwise) {
  const auto field = object.find(name);
  return field == object.end() ? otherwise : ToInteger(*field).value_or(otherwise);
}

// Returns a field's text; "" if the field is missing or of another type.
inline std::string TextField(const nlohmann::json& object, const char* name) {
  const auto field = object.find(name);
  return field != object.end() && field->is_string() ? field->get<std::string>() : "";
}

// Returns a field's truth value; false if the field is missing or of another type.
inline bool BoolField(const nlohmann::json& object, const char* name) {
  const auto field = object.find(name);
  return field != object.end() && field->is_boolean() && field->get<bool>();
}

// Returns an object with at least one field as the text of a file. `first_line` says that finetune
// wrote the file; it replaces the opening brace. Bytes that are not UTF-8 become U+FFFD.
inline std::string OwnJsonText(const nlohmann::ordered_json& object, absl::string_view first_line) {
  const std::string text =
      object.dump(1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace);
  return absl::StrCat(first_line, text.substr(1), "\n");
}

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_JSON_FIELD_H_
