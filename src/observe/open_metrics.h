#ifndef FINETUNE_OBSERVE_OPEN_METRICS_H_
#define FINETUNE_OBSERVE_OPEN_METRICS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/observe/run_status.h"

namespace finetune {

// The first line of WORK_DIR/metrics.prom. It marks the file as written by finetune.
extern const char kMetricsFirstLine[];

// Returns the figures of a run as a text that is both OpenMetrics 1.0 and the older text format of
// Prometheus, which node_exporter's textfile collector reads. So all metrics are gauges (the older
// format has no `info` or `stateset`, and names counters otherwise), and no sample has a time of
// its own (the collector refuses those). Each sample has the labels `run`, the name of the run, and
// `work_dir`, by which the files of several runs on one node differ.
std::string ToOpenMetrics(const RunStatus& status, absl::string_view work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_OPEN_METRICS_H_
