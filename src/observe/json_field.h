#ifndef FINETUNE_OBSERVE_JSON_FIELD_H_
#define FINETUNE_OBSERVE_JSON_FIELD_H_

#include <nlohmann/json.hpp>
#include <string>

namespace finetune {

// Returns a field's number; `otherwise` if the field is missing, null or of another type.
template <typename T>
T NumberField(const nlohmann::json& object, const char* name, T otherwise) {
  const auto field = object.find(name);
  return field != object.end() && field->is_number() ? field->template get<T>() : otherwise;
}

// Returns a field's text; "" if the field is missing or of another type.
inline std::string TextField(const nlohmann::json& object, const char* name) {
  const auto field = object.find(name);
  return field != object.end() && field->is_string() ? field->get<std::string>() : "";
}

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_JSON_FIELD_H_
