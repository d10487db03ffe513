#include "src/observe/run_status.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/version.h"
#include "src/observe/json_field.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kStates = {RunState::kRunning, RunState::kDone, RunState::kFailed,
                                RunState::kInterrupted};

// The largest file that is read as a status. A real one has a few KiB.
constexpr size_t kMostBytes = size_t{1} << 20;

// Returns a record as a JSON object with the fields of the .jsonl file.
template <typename Record>
Json Object(const Record& record) {
  return Json::parse(ToJson(record));
}

// Adds the record `name` of a status to `history`, if the status has one.
absl::Status AddRecord(const nlohmann::json& status, const char* name, History* history) {
  const auto record = status.find(name);
  return record == status.end() ? absl::OkStatus() : AddRecords(record->dump(), history);
}

}  // namespace

const char kStatusFirstLine[] =
    R"({ "//": "Written by finetune: the state of the run in this folder.",)";

absl::string_view NameOf(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return "RUNNING";
    case RunState::kDone:
      return "DONE";
    case RunState::kFailed:
      return "FAILED";
    case RunState::kInterrupted:
      return "INTERRUPTED";
  }
  return "";
}

std::string ToJson(const RunStatus& status) {
  Json json = {{"format_version", kStatusFormatVersion},
               {"writer", kFinetuneWriter},
               {"state", NameOf(status.state)}};
  if (!status.error.empty()) json["error"] = status.error;
  if (!status.reason.empty()) json["reason"] = status.reason;
  json["host"] = status.run.host;
  json["pid"] = status.pid;
  json["updated"] = status.updated_unix_s;
  json["run"] = Object(status.run);
  json["run"].erase("class_names");
  if (status.training.has_value()) {
    json["iterations_per_epoch"] = status.training->iterations_per_epoch;
    json["total_iterations"] = status.training->total_iterations;
    json["train"] = Object(*status.training);
  }
  if (status.validation.has_value()) json["val"] = Object(*status.validation);
  if (status.validation_total > 0) {
    json["validating"] = {{"done", status.validation_done}, {"total", status.validation_total}};
  }
  if (status.best.has_value()) {
    json["best"] = {{"metric", status.best->metric},
                    {"value", status.best->value},
                    {"iteration", status.best->iteration}};
  }
  if (status.checkpoint.has_value()) {
    json["checkpoint"] = {{"file", status.checkpoint->file},
                          {"iteration", status.checkpoint->iteration},
                          {"saved", status.checkpoint->saved_unix_s}};
  }
  json["warnings"] = Json::array();
  for (const RunStatus::Warning& warning : status.warnings) {
    json["warnings"].push_back({{"time", warning.unix_s}, {"text", warning.text}});
  }
  return OwnJsonText(json, kStatusFirstLine);
}

std::string MetricText(absl::string_view metric, double value) {
  return metric == "loss" ? absl::StrFormat("%.4f", value)
                          : absl::StrFormat("%.2f %%", 100 * value);
}

absl::StatusOr<RunStatus> ParseRunStatus(absl::string_view text) {
  const auto json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        "found text that is not a JSON object; expected the status.json of a run of finetune");
  }
  FT_RETURN_IF_ERROR(Annotate(CheckFormatVersion(IntegerField(json, "format_version", 0),
                                                 kStatusFormatVersion, TextField(json, "writer")),
                              "format_version"));
  if (const std::string writer = TextField(json, "writer"); !IsOwnWriter(writer)) {
    return absl::InvalidArgumentError(
        absl::StrCat("writer: found \"", writer,
                     "\"; expected finetune: another program has written this file"));
  }
  RunStatus status;
  const std::string state = TextField(json, "state");
  bool known = false;
  for (const RunState each : kStates) {
    if (state != NameOf(each)) continue;
    status.state = each;
    known = true;
  }
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat(
        "state: found \"", state, "\"; expected RUNNING, DONE, FAILED or INTERRUPTED"));
  }
  status.error = TextField(json, "error");
  status.reason = TextField(json, "reason");
  status.pid = IntegerField(json, "pid", 0);
  status.updated_unix_s = NumberField(json, "updated", 0.0);
  // Each record gets a History of its own: a History that gets a record of an earlier iteration
  // drops the records of later ones.
  History run, training, validation;
  FT_RETURN_IF_ERROR(AddRecord(json, "run", &run));
  FT_RETURN_IF_ERROR(AddRecord(json, "train", &training));
  FT_RETURN_IF_ERROR(AddRecord(json, "val", &validation));
  if (!run.runs.empty()) status.run = std::move(run.runs.front());
  if (status.run.host.empty()) status.run.host = TextField(json, "host");
  if (!training.iterations.empty()) {
    status.training = training.iterations.front();
    status.training->iterations_per_epoch =
        std::max<int64_t>(IntegerField(json, "iterations_per_epoch", 1), 1);
    status.training->total_iterations = IntegerField(json, "total_iterations", 0);
  }
  if (!validation.evaluations.empty()) status.validation = validation.evaluations.front();
  if (const auto found = json.find("validating"); found != json.end() && found->is_object()) {
    status.validation_done = IntegerField(*found, "done", 0);
    status.validation_total = IntegerField(*found, "total", 0);
  }
  if (const auto found = json.find("best"); found != json.end() && found->is_object()) {
    status.best = {TextField(*found, "metric"), NumberField(*found, "value", 0.0),
                   IntegerField(*found, "iteration", 0)};
  }
  if (const auto found = json.find("checkpoint"); found != json.end() && found->is_object()) {
    status.checkpoint = {TextField(*found, "file"), IntegerField(*found, "iteration", 0),
                         NumberField(*found, "saved", 0.0)};
  }
  if (const auto found = json.find("warnings"); found != json.end() && found->is_array()) {
    for (const nlohmann::json& warning : *found) {
      if (!warning.is_object()) continue;
      status.warnings.push_back({NumberField(warning, "time", 0.0), TextField(warning, "text")});
    }
  }
  return status;
}

absl::StatusOr<RunStatus> ReadRunStatus(const std::string& work_dir) {
  const std::string path = absl::StrCat(work_dir, "/status.json");
  const absl::StatusOr<std::string> text = ReadRegularFile(path, kMostBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(
        absl::StrCat(path,
                     ": found no such file; expected the --work_dir of a run, which writes "
                     "this file from its first iteration on"));
  }
  FT_RETURN_IF_ERROR(text.status());
  absl::StatusOr<RunStatus> status = ParseRunStatus(*text);
  FT_RETURN_IF_ERROR(Annotate(status.status(), path));
  return status;
}

}  // namespace finetune
