#ifndef FINETUNE_OBSERVE_JSON_FIELD_H_
#define FINETUNE_OBSERVE_JSON_FIELD_H_

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace finetune {

// Returns a field's number; `otherwise` if the field is missing, null or of another type.
inline double NumberField(const nlohmann::json& object, const char* name, double otherwise) {
  const auto field = object.find(name);
  return field != object.end() && field->is_number() ? field->get<double>() : otherwise;
}

// Returns a field's number as an integer. Returns `otherwise` if the field is missing, null or of
// another type, or if the number is beyond 2^53, which only a damaged file has.
inline int64_t IntegerField(const nlohmann::json& object, const char* name, int64_t otherwise) {
  constexpr double kMost = int64_t{1} << 53;
  const double number = NumberField(object, name, static_cast<double>(otherwise));
  return std::abs(number) <= kMost ? static_cast<int64_t>(number) : otherwise;
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

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_JSON_FIELD_H_
