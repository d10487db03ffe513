#ifndef FINETUNE_OBSERVE_OPEN_METRICS_H_
#define FINETUNE_OBSERVE_OPEN_METRICS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/observe/run_status.h"

namespace finetune {

// The first line of WORK_DIR/metrics.prom. It marks the file as written by finetune.
extern const char kMetricsFirstLine[];

// Returns the figures of a run as text that is valid in two formats: OpenMetrics 1.0, and the older
// text format of Prometheus, which node_exporter's textfile collector reads. For the older format,
// all metrics are gauges: it has no `info` and no `stateset`, and names counters in another way. No
// sample has a timestamp, because the collector refuses them. Each sample has the labels `run`, the
// name of the run, and `work_dir`, which tells several runs on one node apart. `work_dir`: an
// absolute path.
std::string ToOpenMetrics(const RunStatus& status, absl::string_view work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_OPEN_METRICS_H_
