#include "src/config/config.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/base/atomic_file.h"
#include "src/base/hide_secrets.h"
#include "src/config/field_error.h"
#include "src/config/field_path.h"
#include "src/config/overlay.h"
#include "src/config/override.h"
#include "src/config/parse.h"
#include "src/config/print.h"
#include "src/config/search.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::google::protobuf::Message;

// The largest config that is read. A config is a page of text, so a larger file is something else.
constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxImportDepth = 32;

absl::Status CheckIsText(const std::string& text, const std::string& file) {
  if (!absl::StrContains(text, '\0')) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(file, ": found binary data; expected a config in text format (.pbtxt)"));
}

// Reads a config file. A byte order mark at its start, which some editors write, is dropped.
absl::StatusOr<std::string> ReadConfig(const std::string& file) {
  absl::StatusOr<std::string> text = ReadFile(file, kMaxConfigBytes);
  // An unreadable config is a mistake of the user, so the error becomes InvalidArgument.
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  FT_RETURN_IF_ERROR(CheckIsText(*text, file));
  return std::string(absl::StripPrefix(*text, "\xef\xbb\xbf"));
}

// Adds an error for each value that two imports set differently, unless the importing file, `own`,
// sets or resets it. `before`: the earlier imports, merged. `next`: the next import.
void FindConflicts(const Layer& before, const Layer& next, const Layer& own,
                   std::vector<std::string>* errors) {
  const auto old_values = ConfigValues(before.values, before.origins);
  for (const auto& [path, value] : ConfigValues(next.values, next.origins)) {
    const auto old = old_values.find(path);
    if (old == old_values.end() || old->second == value) continue;
    if (own.origins.contains(path)) continue;
    if (std::any_of(own.values.reset().begin(), own.values.reset().end(),
                    [&, p = path](const std::string& reset) { return IsInside(p, reset); })) {
      continue;
    }
    const Place& first = before.origins.at(path);
    const Place& second = next.origins.at(path);
    if (first.file == second.file && first.line == second.line) continue;
    errors->push_back(absl::StrCat(second.ToString(), ": ", path, ": is ", value, " here and ",
                                   old->second, " in ", first.ToString(),
                                   ", both imported by the same file; set it there, or reset it"));
  }
}

// Clears the field at `path` that the imports have set.
absl::Status Reset(const std::string& path, Layer* layer) {
  FT_ASSIGN_OR_RETURN(const std::vector<FieldStep> steps, ResolvePath(path));
  Message* message = &layer->values;
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto [field, index] = steps[i];
    if (index >= 0 || (field->is_repeated() && i + 1 < steps.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a list is reset as a whole: ", field->name()));
    }
    const bool set = field->is_repeated()
                         ? message->GetReflection()->FieldSize(*message, field) > 0 ||
                               layer->origins.contains(path)
                         : message->GetReflection()->HasField(*message, field);
    if (!set) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": nothing to drop: no import sets it"));
    }
    if (i + 1 == steps.size()) {
      message->GetReflection()->ClearField(message, field);
    } else {
      message = message->GetReflection()->MutableMessage(message, field);
    }
  }
  EraseOrigins(path, &layer->origins);
  return absl::OkStatus();
}

// The errors of a config that is being loaded.
struct Errors {
  std::vector<std::string> lines;
  // Whether all values without an error are known. If not, a value may be taken for another's.
  bool understood = true;
};

// Returns the values in the text itself, without its imports. Adds a line to `errors` for each
// error in the text.
Layer Parse(const std::string& text, const std::string& file, const std::vector<std::string>& chain,
            Errors* errors) {
  Layer own;
  const ParsedText parsed =
      ParseText(text, "", Place{file, 0, 0, chain}, &own.values, &own.origins);
  for (const TextError& error : parsed.errors) {
    errors->lines.push_back(
        absl::StrCat(file, ":", error.line, ":", error.column, ": ", ToString(error)));
  }
  errors->understood = errors->understood && parsed.understood;
  return own;
}

// Returns whether the --set's path goes through an element of a list, which a file must have.
bool EntersList(const std::string& text) {
  const auto steps = ResolvePath(text.substr(0, text.find('=')));
  return steps.ok() && std::any_of(steps->begin(), std::prev(steps->end()),
                                   [](const FieldStep& step) { return step.field->is_repeated(); });
}

// Applies the overrides to `layer`, which was read from `file` with `errors`, and returns the
// config. If there are errors, adds those of the values that are known.
absl::StatusOr<LoadedConfig> Finish(Layer layer, const std::string& file,
                                    const std::vector<std::string>& overrides, Errors errors,
                                    const FindValueErrors& find_value_errors) {
  const bool file_is_right = errors.lines.empty();
  std::vector<std::string> not_set;  // the paths of overrides that could not be applied
  for (const std::string& text : overrides) {
    Layer with_override = layer;
    const absl::Status status = Override(text, &with_override);
    if (status.ok()) {
      layer = std::move(with_override);
      continue;
    }
    not_set.push_back(text.substr(0, text.find('=')));
    // The file's error may be the reason that a list has too few elements.
    if (!file_is_right && EntersList(text)) continue;
    errors.lines.push_back(absl::StrCat("--set=", OneLine(text), ": ", status.message()));
  }
  LoadedConfig loaded;
  loaded.config = std::move(layer.values);
  loaded.origins = std::move(layer.origins);
  loaded.file = file;
  if (!loaded.config.has_name()) loaded.config.set_name(fs::path(file).stem().string());
  if (errors.lines.empty()) return loaded;
  if (errors.understood && find_value_errors != nullptr) {
    // These were to get other values.
    for (const std::string& path : not_set) EraseOrigins(path, &loaded.origins);
    for (std::string& line : find_value_errors(loaded)) errors.lines.push_back(std::move(line));
  }
  return absl::InvalidArgumentError(HideSecrets(absl::StrJoin(errors.lines, "\n")));
}

// Reads config files and everything that they import.
class Loader {
 public:
  explicit Loader(const std::vector<std::string>& search_path) : search_path_(search_path) {}

  // Returns the values of `file` and of what it imports, except those that have errors. `chain`:
  // the files through which `file` is imported, starting with the user's.
  Layer Load(const std::string& file, const std::vector<std::string>& chain) {
    std::vector<std::string> here = chain;
    here.push_back(file);
    const absl::StatusOr<std::string> text = ReadConfig(file);
    if (!text.ok()) {
      AddError(std::string(text.status().message()));
      errors_.understood = false;
      return {};
    }
    const size_t errors_before = errors_.lines.size();
    // Whether this file, and all that it imports, has no error so far.
    const auto is_right = [&] { return errors_.lines.size() == errors_before; };
    Layer own = Parse(*text, file, chain, &errors_);
    const bool own_is_right = is_right();
    Layer merged;
    for (int i = 0; i < own.values.import_size(); ++i) {
      const Place& place = own.origins[absl::StrCat("import[", i, "]")];
      const size_t before = errors_.lines.size();
      const Layer layer = Import(own.values.import(i), place, here);
      // Where a file has an error, the field that settles the conflict may be the wrong one.
      if (own_is_right && errors_.lines.size() == before) {
        FindConflicts(merged, layer, own, &errors_.lines);
      }
      Overlay(layer.values, layer.origins, "", &merged.values, &merged.origins);
    }
    const bool imports_are_right = is_right();
    for (int i = 0; i < own.values.reset_size(); ++i) {
      absl::Status reset = Reset(own.values.reset(i), &merged);
      // Without an import, or with errors in it, there may be nothing to drop.
      if (!imports_are_right) reset = ResolvePath(own.values.reset(i)).status();
      if (!reset.ok()) {
        AddError(absl::StrCat(own.origins[absl::StrCat("reset[", i, "]")].ToString(),
                              ": reset: ", reset.message()));
      }
    }
    own.values.clear_import();
    own.values.clear_reset();
    EraseOrigins("import", &own.origins);
    EraseOrigins("reset", &own.origins);
    Overlay(own.values, own.origins, "", &merged.values, &merged.origins);
    return merged;
  }

  // Returns the errors of all files so far.
  Errors TakeErrors() { return std::move(errors_); }

 private:
  void AddError(std::string line) { errors_.lines.push_back(std::move(line)); }

  // Loads the config `name`, which the last file of `here` imports at `place`.
  Layer Import(const std::string& name, const Place& place, const std::vector<std::string>& here) {
    const auto error = [&](auto... what) {
      AddError(absl::StrCat(place.ToString(), ": import: ", what...));
      return Layer();
    };
    const std::string folder = fs::path(here.back()).parent_path().string();
    const absl::StatusOr<std::string> found = FindConfig(name, folder, search_path_);
    if (!found.ok()) return error(found.status().message());
    if (std::any_of(here.begin(), here.end(), [&](const std::string& one) {
          std::error_code ignored;
          return fs::equivalent(one, *found, ignored);
        })) {
      return error("a cycle: ", absl::StrJoin(here, " -> "), " -> ", *found);
    }
    if (here.size() > kMaxImportDepth) return error("more than ", kMaxImportDepth, " deep");
    return Load(*found, here);
  }

  const std::vector<std::string>& search_path_;
  Errors errors_;
};

}  // namespace

std::string LoadedConfig::PlaceOf(const std::string& path) const {
  std::string at = path;
  while (true) {
    if (const auto it = origins.find(at); it != origins.end()) return it->second.ToString();
    const size_t cut = at.find_last_of(".[");
    if (cut == std::string::npos) return file;
    at.resize(cut);
  }
}

absl::Status LoadedConfig::WithPlace(const absl::Status& status) const {
  const std::string field = FieldOf(status);
  if (field.empty()) return status;
  // The new status has no payload, so that a second call does not add the place again.
  return absl::Status(status.code(), absl::StrCat(PlaceOf(field), ": ", status.message()));
}

absl::StatusOr<LoadedConfig> LoadConfig(const std::string& file, const LoadOptions& options) {
  FT_ASSIGN_OR_RETURN(const std::string found, FindConfig(file, "", options.search_path));
  Loader loader(options.search_path);
  Layer layer = loader.Load(found, {});
  return Finish(std::move(layer), found, options.overrides, loader.TakeErrors(),
                options.find_value_errors);
}

absl::StatusOr<LoadedConfig> LoadConfigText(const std::string& text, const std::string& name,
                                            const std::vector<std::string>& overrides,
                                            const FindValueErrors& find_value_errors) {
  FT_RETURN_IF_ERROR(CheckIsText(text, name));
  if (text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": found a config of ", text.size(),
                                                   " bytes; expected at most ", kMaxConfigBytes));
  }
  Errors errors;
  Layer layer = Parse(text, name, {}, &errors);
  if (layer.values.import_size() + layer.values.reset_size() > 0) {
    errors.lines.push_back(absl::StrCat(
        name, ": found imports or resets; expected a whole config, as a checkpoint carries it"));
  }
  return Finish(std::move(layer), name, overrides, std::move(errors), find_value_errors);
}

}  // namespace finetune
