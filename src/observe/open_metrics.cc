#include "src/observe/open_metrics.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/base/utf8.h"
#include "src/base/version.h"

namespace finetune {
namespace {

// Returns a label, NAME="VALUE", with the value escaped.
std::string Label(absl::string_view name, absl::string_view value) {
  return absl::StrCat(
      name, "=\"",
      absl::StrReplaceAll(ValidUtf8(value), {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\"");
}

// Returns the shortest decimal text that gives the same number when it is parsed.
std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

// Builds the text of the metrics.
class Metrics {
 public:
  // `labels`: the labels of every sample, separated by commas.
  explicit Metrics(std::string labels) : labels_(std::move(labels)) {}

  // Begins the metric `name`. The next calls of Sample() belong to it.
  void Begin(const char* name, absl::string_view help) {
    name_ = name;
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n");
  }
  // Adds a sample of the current metric. `label`: an additional label of this sample; "" for none.
  void Sample(double value, const std::string& label = "") {
    absl::StrAppend(&text_, name_, "{", labels_, label.empty() ? "" : ",", label, "} ",
                    Number(value), "\n");
  }
  void Add(const char* name, absl::string_view help, double value) {
    Begin(name, help);
    Sample(value);
  }

  std::string End() && { return absl::StrCat(text_, "# EOF\n"); }

 private:
  const std::string labels_;
  std::string text_;
  const char* name_ = "";
};

void AddTraining(const IterationRecord& record, Metrics* metrics) {
  metrics->Add("finetune_epoch", "The epoch, from 1.", static_cast<double>(record.epoch));
  metrics->Add("finetune_iteration", "The iterations done since the start of the run.",
               static_cast<double>(record.iteration));
  metrics->Add("finetune_iterations_planned", "The iterations of the whole run.",
               static_cast<double>(record.total_iterations));
  metrics->Add("finetune_loss", "The training loss, a mean since the last record.", record.loss);
  metrics->Add("finetune_learning_rate", "The learning rate.", record.lr);
  metrics->Add("finetune_images_per_second", "The images that all ranks train in a second.",
               record.images_per_s);
  metrics->Add("finetune_iteration_seconds", "The duration of an iteration.", record.time_s);
  metrics->Add("finetune_data_wait_seconds", "The part of an iteration spent waiting for data.",
               record.data_time_s);
  metrics->Add("finetune_eta_seconds", "The estimated time to the end of the run.", record.eta_s);
  metrics->Add("finetune_memory_bytes", "The peak memory of rank 0: of its GPU or its process.",
               static_cast<double>(record.memory_mib) * (1 << 20));
}

}  // namespace

const char kMetricsFirstLine[] = "# HELP finetune_run A run of finetune. The value is always 1.";

std::string ToOpenMetrics(const RunStatus& status, absl::string_view work_dir) {
  Metrics metrics(absl::StrCat(Label("run", status.run.name), ",", Label("work_dir", work_dir)));
  metrics.Begin("finetune_run", "A run of finetune. The value is always 1.");
  metrics.Sample(
      1, absl::StrCat(Label("host", status.run.host), ",", Label("version", kFinetuneVersion)));
  metrics.Begin("finetune_state", "Whether the run is in this state, 0 or 1.");
  for (const RunState state :
       {RunState::kRunning, RunState::kDone, RunState::kFailed, RunState::kInterrupted}) {
    metrics.Sample(status.state == state ? 1 : 0, Label("state", NameOf(state)));
  }
  metrics.Add("finetune_ranks", "The number of ranks.", static_cast<double>(status.run.ranks));
  metrics.Add("finetune_started_timestamp_seconds", "The time at which the run was started.",
              status.run.began_unix_s);
  metrics.Add(
      "finetune_updated_timestamp_seconds",
      "The time of this file. A run that has not ended updates it at least every 10 seconds "
      "or once an iteration.",
      status.updated_unix_s);
  if (status.training.has_value()) AddTraining(*status.training, &metrics);
  if (status.validation.has_value()) {
    metrics.Add("finetune_validation_iteration", "The iteration of the last validation.",
                static_cast<double>(status.validation->iteration));
    metrics.Add("finetune_validation_loss", "The loss of the last validation.",
                status.validation->loss);
    metrics.Begin("finetune_validation_accuracy_ratio",
                  "The accuracy of the last validation, 0 to 1.");
    for (const auto& [name, value] : status.validation->accuracy) {
      metrics.Sample(value, Label("metric", name));
    }
  }
  if (status.best.has_value()) {
    if (status.best->metric == "loss") {
      metrics.Add("finetune_best_loss", "The least validation loss so far.", status.best->value);
    } else {
      metrics.Begin("finetune_best_accuracy_ratio", "The best accuracy so far, 0 to 1.");
      metrics.Sample(status.best->value, Label("metric", status.best->metric));
    }
  }
  if (status.checkpoint.has_value()) {
    metrics.Add("finetune_checkpoint_iteration", "The iteration of the last whole checkpoint.",
                static_cast<double>(status.checkpoint->iteration));
    metrics.Add("finetune_checkpoint_timestamp_seconds", "The time of the last whole checkpoint.",
                status.checkpoint->saved_unix_s);
  }
  return std::move(metrics).End();
}

}  // namespace finetune
