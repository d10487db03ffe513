#include "src/observe/record.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/base/version.h"
#include "src/observe/json_field.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

// Returns the list of numbers `name`, or an empty list if the field is missing or is not a list of
// numbers.
std::vector<int64_t> GetNumbers(const Json& object, const char* name) {
  std::vector<int64_t> numbers;
  const auto field = object.find(name);
  if (field == object.end() || !field->is_array()) return numbers;
  for (const Json& number : *field) {
    const std::optional<int64_t> count = ToInteger(number);
    if (!count.has_value()) return {};
    numbers.push_back(*count);
  }
  return numbers;
}

// Reads the per-class counts and the confusion matrix of a validation. Lists whose lengths do not
// match are ignored.
void ParseClasses(const Json& json, EvaluationRecord* record) {
  const auto counts = json.find("classes");
  if (counts == json.end() || !counts->is_object()) return;
  const std::vector<int64_t> images = GetNumbers(*counts, "pictures");
  const std::vector<int64_t> correct = GetNumbers(*counts, "correct");
  const std::vector<int64_t> guessed = GetNumbers(*counts, "guessed");
  if (images.size() != correct.size()) return;
  record->has_guessed = !images.empty() && guessed.size() == images.size();
  for (size_t i = 0; i < images.size(); ++i) {
    record->classes.push_back({images[i], record->has_guessed ? guessed[i] : 0, correct[i]});
  }
  const auto rows = json.find("confusion");
  if (rows == json.end() || !rows->is_array() || rows->size() != images.size()) return;
  std::vector<int64_t> confusion;
  for (const Json& row : *rows) {
    if (!row.is_array() || row.size() != images.size()) return;
    for (const Json& number : row) {
      const std::optional<int64_t> count = ToInteger(number);
      if (!count.has_value()) return;
      confusion.push_back(*count);
    }
  }
  record->confusion = std::move(confusion);
}

// Returns the JSON as one line. Bytes that are not UTF-8 (a folder's name may contain some) are
// replaced.
std::string Line(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

RunRecord ParseRun(const Json& json) {
  RunRecord record;
  record.writer = TextField(json, "writer");
  record.name = TextField(json, "name");
  record.host = TextField(json, "host");
  record.ranks = IntegerField(json, "ranks", 1);
  record.iteration = IntegerField(json, "iteration", 0);
  record.began_unix_s = NumberField(json, "began", 0.0);
  const auto names = json.find("class_names");
  if (names != json.end() && names->is_array()) {
    for (const Json& name : *names) {
      record.class_names.push_back(name.is_string() ? name.get<std::string>() : "");
    }
  }
  return record;
}

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

}  // namespace

std::string ToJson(const RunRecord& record) {
  return Line({{"mode", "run"},
               {"writer", kFinetuneWriter},
               {"format_version", kRecordFormatVersion},
               {"name", record.name},
               {"host", record.host},
               {"ranks", record.ranks},
               {"iteration", record.iteration},
               {"began", record.began_unix_s},
               {"class_names", record.class_names}});
}

std::string ToJson(const IterationRecord& record) {
  Json json = {{"mode", "train"},
               {"epoch", record.epoch},
               {"iteration", record.iteration},
               {"averaged", record.averaged},
               {"loss", record.loss},
               {"lr", record.lr},
               {"time", record.time_s},
               {"data_time", record.data_time_s},
               {"images_per_s", record.images_per_s},
               {"memory", record.memory_mib},
               {"eta", record.eta_s}};
  if (record.gradient_norm.has_value()) json["gradient_norm"] = *record.gradient_norm;
  return Line(json);
}

std::string ToJson(const EvaluationRecord& record) {
  Json json = {{"mode", "val"},
               {"epoch", record.epoch},
               {"iteration", record.iteration},
               {"loss", record.loss},
               {"time", record.seconds},
               {"pictures", record.images},
               {"accuracy", record.accuracy}};
  if (record.damaged > 0) json["damaged"] = record.damaged;
  if (record.averaged_weights) json["averaged_weights"] = true;
  if (!record.classes.empty()) {
    Json images = Json::array(), correct = Json::array(), guessed = Json::array();
    for (const ClassResult& count : record.classes) {
      images.push_back(count.support);
      correct.push_back(count.correct);
      guessed.push_back(count.guessed);
    }
    json["classes"] = {{"pictures", std::move(images)}, {"correct", std::move(correct)}};
    if (record.has_guessed && record.classes.size() <= kMostGuessedClasses) {
      json["classes"]["guessed"] = std::move(guessed);
    }
  }
  if (!record.confusion.empty()) {
    Json rows = Json::array();
    const auto classes = static_cast<std::ptrdiff_t>(record.classes.size());
    for (auto row = record.confusion.begin(); row != record.confusion.end(); row += classes) {
      rows.push_back(std::vector<int64_t>(row, row + classes));
    }
    json["confusion"] = std::move(rows);
  }
  return Line(json);
}

std::string ToJson(const EndRecord& record) {
  return Line({{"mode", "end"}, {"iteration", record.iteration}, {"reason", record.reason}});
}

absl::Status AddRecords(absl::string_view json_lines, History* history) {
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(json_lines, '\n', absl::SkipEmpty())) {
    const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("iteration")) continue;
    const auto iteration = IntegerField(json, "iteration", 0);
    const std::string mode = TextField(json, "mode");
    if (first) {
      FT_RETURN_IF_ERROR(
          Annotate(CheckFormatVersion(IntegerField(json, "format_version", 0), kRecordFormatVersion,
                                      TextField(json, "writer")),
                   "format_version"));
      // `begin` is the first iteration of this file. A RunRecord has the number of iterations done
      // before it.
      const int64_t begin = mode == "run" ? iteration + 1 : iteration;
      const auto later = [begin](const auto& record) { return record.iteration >= begin; };
      std::erase_if(history->iterations, later);
      std::erase_if(history->evaluations, later);
      // A run that goes on has not ended at `begin` - 1.
      std::erase_if(history->ends,
                    [begin](const EndRecord& end) { return end.iteration >= begin - 1; });
      std::erase_if(history->runs, [begin](const auto& run) { return run.iteration >= begin - 1; });
      first = false;
    }
    if (mode == "run") {
      history->runs.push_back(ParseRun(json));
    } else if (mode == "train") {
      IterationRecord& record = history->iterations.emplace_back();
      record.epoch = IntegerField(json, "epoch", 0);
      record.iteration = iteration;
      record.averaged = IntegerField(json, "averaged", 1);
      record.loss = NumberField(json, "loss", kNoNumber);
      record.lr = NumberField(json, "lr", kNoNumber);
      record.time_s = NumberField(json, "time", kNoNumber);
      record.data_time_s = NumberField(json, "data_time", kNoNumber);
      record.images_per_s = NumberField(json, "images_per_s", kNoNumber);
      record.memory_mib = IntegerField(json, "memory", 0);
      record.eta_s = NumberField(json, "eta", kNoNumber);
      if (json.contains("gradient_norm")) {
        record.gradient_norm = NumberField(json, "gradient_norm", kNoNumber);
      }
    } else if (mode == "end") {
      history->ends.push_back({iteration, TextField(json, "reason")});
    } else if (mode == "val") {
      EvaluationRecord& record = history->evaluations.emplace_back();
      record.epoch = IntegerField(json, "epoch", 0);
      record.iteration = iteration;
      record.loss = NumberField(json, "loss", kNoNumber);
      record.seconds = NumberField(json, "time", kNoNumber);
      record.images = IntegerField(json, "pictures", 0);
      record.damaged = IntegerField(json, "damaged", 0);
      record.averaged_weights = BoolField(json, "averaged_weights");
      ParseClasses(json, &record);
      if (json.contains("accuracy") && json["accuracy"].is_object()) {
        for (const auto& [name, value] : json["accuracy"].items()) {
          if (value.is_number()) record.accuracy[name] = value;
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<History> ReadHistory(const std::string& work_dir) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(work_dir));
  History history;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".jsonl")) continue;
    const std::string path = absl::StrCat(work_dir, "/", name);
    FT_ASSIGN_OR_RETURN(const std::string text, ReadRegularFile(path));
    FT_RETURN_IF_ERROR(Annotate(AddRecords(text, &history), path));
  }
  return history;
}

}  // namespace finetune
