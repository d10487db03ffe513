#ifndef FINETUNE_OBSERVE_TRACE_FILE_H_
#define FINETUNE_OBSERVE_TRACE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/observe/trace.h"

namespace finetune {

// The offset of a rank's clock: this clock's time minus the time of rank 0's clock at the same
// moment.
struct ClockOffset {
  int64_t nanoseconds = 0;
  // The true offset differs from `nanoseconds` by at most this much.
  int64_t error_ns = 0;
};

// Measures the offset of rank `rank`'s clock by messages from rank 0 to it and back (Cristian
// 1989). Returns the offset on rank `rank`, and {} on all other ranks. Collective. `now`: returns
// the time of this rank's clock in nanoseconds.
absl::StatusOr<ClockOffset> MeasureClockOffset(int rank, absl::FunctionRef<int64_t()> now,
                                               Communicator* comm);

// Writes the traces of all ranks to one file in Chrome's JSON format, for chrome://tracing and
// ui.perfetto.dev. Each rank is shown as a process. Open() measures the offset of each host's clock
// (ranks on one host share a clock), and times are converted to rank 0's clock.
class TraceFile {
 public:
  // Measures the offsets of the clocks, and checks that rank 0 can create the file `path`. Call it
  // before the events to be traced, because times count from here. Collective. Errors, the same on
  // every rank: those of AtomicFile
  // and CheckOwnText().
  static absl::StatusOr<TraceFile> Open(std::string path, Communicator* comm);

  // Rank 0 writes the file, which appears complete or not at all. Returns the number of events that
  // all ranks dropped, because a track keeps only its latest ones. Collective. Errors:
  // ResourceExhausted if the text of all ranks' events is 2 GiB or more; those of writing, on rank
  // 0 only.
  absl::StatusOr<uint64_t> Write(const Trace& trace, Communicator* comm) const;

 private:
  TraceFile(std::string path, int64_t zero_ns) : path_(std::move(path)), zero_ns_(zero_ns) {}

  std::string path_;
  // The start of the trace in nanoseconds of this host's clock. It is the same moment on every
  // rank.
  int64_t zero_ns_;
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_TRACE_FILE_H_
