#ifndef FINETUNE_OBSERVE_TRACE_FILE_H_
#define FINETUNE_OBSERVE_TRACE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/observe/trace.h"

namespace finetune {

// The difference of a clock from rank 0's.
struct ClockOffset {
  int64_t nanoseconds = 0;
  // The true offset is within this distance.
  int64_t error_ns = 0;
};

// Measures the offset of rank `rank`'s clock by messages to and fro (Cristian 1989); other ranks
// get {}. Collective; `now` reads this rank's clock.
absl::StatusOr<ClockOffset> MeasureClockOffset(int rank, absl::FunctionRef<int64_t()> now,
                                               Communicator* comm);

// Writes all ranks' traces to one file of Chrome's JSON, for chrome://tracing and ui.perfetto.dev.
// Each rank is a process. Ranks of one host share a clock. Other hosts' times are converted to rank
// 0's clock with the offset at the beginning.
class TraceFile {
 public:
  // Call it before the events that are to be traced. Compares the clocks, and checks that rank 0
  // can create the file. Collective. Errors, the same on every rank: those of AtomicFile.
  static absl::StatusOr<TraceFile> Open(std::string path, Communicator* comm);

  // Writes the file, whole or not at all, and returns the number of events that the tracks had no
  // room for. Collective. Errors: ResourceExhausted when the ranks' events are over 2 GiB; those of
  // writing, on rank 0.
  absl::StatusOr<uint64_t> Write(const Trace& trace, Communicator* comm) const;

 private:
  TraceFile(std::string path, int64_t zero_ns) : path_(std::move(path)), zero_ns_(zero_ns) {}

  std::string path_;
  // The beginning, which is the same moment on every rank, by this host's clock.
  int64_t zero_ns_;
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_TRACE_FILE_H_
