#ifndef FINETUNE_OBSERVE_TRACE_FILE_H_
#define FINETUNE_OBSERVE_TRACE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/observe/trace.h"

namespace finetune {

// The offset of a rank's clock: its time minus that of rank 0's clock.
struct ClockOffset {
  int64_t nanoseconds = 0;
  // The true offset differs from `nanoseconds` by at most this much.
  int64_t error_ns = 0;
};

// Measures the offset of rank `rank`'s clock by messages to and from rank 0 (Cristian 1989).
// Returns it on rank `rank`; other ranks get {}. Collective. `now` returns the time of this rank's
// clock in nanoseconds.
absl::StatusOr<ClockOffset> MeasureClockOffset(int rank, absl::FunctionRef<int64_t()> now,
                                               Communicator* comm);

// Writes all ranks' traces to one file in Chrome's JSON format, for chrome://tracing and
// ui.perfetto.dev. Each rank is a process in it. Ranks on one host share a clock. Times of other
// hosts are converted to rank 0's clock with the offset that Open() measured.
class TraceFile {
 public:
  // Measures the offsets of the clocks, and checks that rank 0 can create the file. Call it before
  // the events that are to be traced. Collective. Errors, the same on every rank: those of
  // AtomicFile.
  static absl::StatusOr<TraceFile> Open(std::string path, Communicator* comm);

  // Writes the file, which appears complete or not at all. Returns the number of events that were
  // dropped, because a track keeps only its latest events. Collective. Errors: ResourceExhausted
  // when the ranks' events are over 2 GiB; those of writing, on rank 0.
  absl::StatusOr<uint64_t> Write(const Trace& trace, Communicator* comm) const;

 private:
  TraceFile(std::string path, int64_t zero_ns) : path_(std::move(path)), zero_ns_(zero_ns) {}

  std::string path_;
  // The time of this host's clock at the start of the trace, which is the same moment on every
  // rank.
  int64_t zero_ns_;
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_TRACE_FILE_H_
