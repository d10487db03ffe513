#include "src/observe/record.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/atomic_file.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

// A field that is missing, null or of another type is as good as not there.
template <typename T>
T Get(const Json& object, const char* name, T otherwise) {
  const auto field = object.find(name);
  return field != object.end() && field->is_number() ? field->template get<T>() : otherwise;
}

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

}  // namespace

std::string ToJson(const IterationRecord& record) {
  Json json = {{"mode", "train"},
               {"epoch", record.epoch},
               {"iteration", record.iteration},
               {"loss", record.loss},
               {"lr", record.lr},
               {"time", record.time_s},
               {"data_time", record.data_time_s},
               {"images_per_s", record.images_per_s},
               {"memory", record.memory_mib},
               {"eta", record.eta_s}};
  if (record.gradient_norm.has_value()) json["gradient_norm"] = *record.gradient_norm;
  return json.dump();
}

std::string ToJson(const EvaluationRecord& record) {
  const Json json = {{"mode", "val"},
                     {"epoch", record.epoch},
                     {"iteration", record.iteration},
                     {"loss", record.loss},
                     {"time", record.seconds},
                     {"pictures", record.pictures},
                     {"accuracy", record.accuracy}};
  return json.dump();
}

void AddRecords(absl::string_view json_lines, History* history) {
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(json_lines, '\n', absl::SkipEmpty())) {
    const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("iteration")) continue;
    const auto iteration = Get<int64_t>(json, "iteration", 0);
    if (first) {
      const auto later = [iteration](const auto& record) { return record.iteration >= iteration; };
      std::erase_if(history->iterations, later);
      std::erase_if(history->evaluations, later);
      first = false;
    }
    const std::string mode = json.contains("mode") && json["mode"].is_string() ? json["mode"] : "";
    if (mode == "train") {
      IterationRecord& record = history->iterations.emplace_back();
      record.epoch = Get<int64_t>(json, "epoch", 0);
      record.iteration = iteration;
      record.loss = Get(json, "loss", kNoNumber);
      record.lr = Get(json, "lr", kNoNumber);
      record.time_s = Get(json, "time", kNoNumber);
      record.data_time_s = Get(json, "data_time", kNoNumber);
      record.images_per_s = Get(json, "images_per_s", kNoNumber);
      record.memory_mib = Get<int64_t>(json, "memory", 0);
      record.eta_s = Get(json, "eta", kNoNumber);
      if (json.contains("gradient_norm")) {
        record.gradient_norm = Get(json, "gradient_norm", kNoNumber);
      }
    } else if (mode == "val") {
      EvaluationRecord& record = history->evaluations.emplace_back();
      record.epoch = Get<int64_t>(json, "epoch", 0);
      record.iteration = iteration;
      record.loss = Get(json, "loss", kNoNumber);
      record.seconds = Get(json, "time", kNoNumber);
      record.pictures = Get<int64_t>(json, "pictures", 0);
      if (json.contains("accuracy") && json["accuracy"].is_object()) {
        for (const auto& [name, value] : json["accuracy"].items()) {
          if (value.is_number()) record.accuracy[name] = value;
        }
      }
    }
  }
}

absl::StatusOr<History> ReadHistory(const std::string& work_dir) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(work_dir, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".jsonl") files.push_back(entry->path().string());
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot read ", work_dir, ": ", error.message()));
  }
  std::sort(files.begin(), files.end());
  History history;
  for (const std::string& file : files) {
    FT_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    AddRecords(text, &history);
  }
  return history;
}

}  // namespace finetune
