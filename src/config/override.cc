#include "src/config/override.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "src/base/hide_secrets.h"
#include "src/base/status_macros.h"
#include "src/config/field_path.h"
#include "src/config/parse.h"

namespace finetune {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;

// A message in a layer, and its path in the config.
struct Target {
  Message* message;
  std::string path;
};

// Follows a path to a message of the layer. Creates messages that are missing, with `place` as
// their place; elements of lists must exist.
absl::StatusOr<Target> Follow(absl::Span<const FieldStep> steps, const Place& place, Layer* layer) {
  Message* message = &layer->values;
  std::string path;
  for (const auto [field, index] : steps) {
    ClearOtherMember(field, path, message, &layer->origins);
    path = JoinPath(path, field->name());
    if (!field->is_repeated()) {
      layer->origins.try_emplace(path, place);
      message = message->GetReflection()->MutableMessage(message, field);
      continue;
    }
    const int size = message->GetReflection()->FieldSize(*message, field);
    if (index < 0 || index >= size) {
      const std::string elements = absl::StrCat(
          path, "[0]", size == 1 ? "" : absl::StrCat(" to ", path, "[", size - 1, "]"));
      return absl::InvalidArgumentError(
          size == 0   ? absl::StrCat(path, ": is an empty list; set it as a whole")
          : index < 0 ? absl::StrCat(path, ": is a list; give one of ", elements)
                      : absl::StrCat(path, "[", index, "]: the list has ", size, " element",
                                     size == 1 ? "" : "s", ", ", elements));
    }
    path = absl::StrCat(path, "[", index, "]");
    message = message->GetReflection()->MutableRepeatedMessage(message, field, index);
  }
  return Target{message, path};
}

// Sets `field` of the target message to `value`, which is in text format. `path`: the field's path
// as the user wrote it.
absl::Status SetField(const FieldDescriptor* field, std::string value, const std::string& path,
                      const Place& place, const Target& target, Origins* origins) {
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field->is_repeated() &&
      !absl::StartsWith(value, "\"") && !absl::StartsWith(value, "'")) {
    value = absl::StrCat("\"", absl::CEscape(value), "\"");
  }
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (is_message && !absl::StartsWith(value, "{") && !absl::StartsWith(value, "[")) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a message; set a field of it, or give it whole in braces: ", path, "={...}"));
  }
  const std::unique_ptr<Message> part(target.message->New());
  Origins part_origins;
  std::vector<std::string> errors;
  const std::string text = absl::StrCat(field->name(), ": ", value);
  for (const TextError& error :
       ParseText(text, target.path, place, part.get(), &part_origins).errors) {
    errors.push_back(error.field == field->name() ? error.what : ToString(error));
  }
  if (!errors.empty() && field->is_repeated() && absl::StrContains(value, ',') &&
      !absl::StartsWith(value, "[")) {
    errors = {absl::StrCat("a list is written in brackets: ", path, "=[", value, "]")};
  }
  if (!errors.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", absl::StrJoin(errors, "; ")));
  }
  // The places refer to the text "name: value" made above, so they are replaced by the place of the
  // --set.
  for (auto& [unused, origin] : part_origins) origin = place;
  Overlay(*part, part_origins, target.path, target.message, origins);
  return absl::OkStatus();
}

}  // namespace

absl::Status Override(const std::string& text, Layer* layer) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return absl::InvalidArgumentError("expected PATH=VALUE, as in --set=optimizer.sgd.lr=0.02");
  }
  const std::string path = text.substr(0, equals);
  if (path == "import" || path == "reset") {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": only a file can have it; write one that imports this one"));
  }
  FT_ASSIGN_OR_RETURN(const std::vector<FieldStep> steps, ResolvePath(path));
  const Place place = {absl::StrCat("--set=", OneLine(HideSecrets(text))), 0, 0, {}};
  FT_ASSIGN_OR_RETURN(
      const Target target,
      Follow(absl::MakeConstSpan(steps).subspan(0, steps.size() - 1), place, layer));
  const auto [field, index] = steps.back();
  if (index >= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": set the whole list, as in ", field->name(),
                     field->message_type() != nullptr ? "=[{...}, {...}]" : "=[1, 2]"));
  }
  return SetField(field, text.substr(equals + 1), path, place, target, &layer->origins);
}

}  // namespace finetune
