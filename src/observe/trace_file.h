#ifndef FINETUNE_OBSERVE_TRACE_FILE_H_
#define FINETUNE_OBSERVE_TRACE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/observe/trace.h"

namespace finetune {

// How much a clock is ahead of rank 0's.
struct ClockOffset {
  int64_t nanoseconds = 0;
  // The truth is within so much of it.
  int64_t error_ns = 0;
};

// The offset of rank `rank`'s clock, by messages to and fro (Cristian 1989); on other ranks {}.
// Collective; `now` reads this rank's clock.
absl::StatusOr<ClockOffset> MeasureClockOffset(int rank, absl::FunctionRef<int64_t()> now,
                                               Communicator* comm);

// The file that all ranks' traces come together in: Chrome's JSON, for chrome://tracing and
// ui.perfetto.dev; each rank is a process. Ranks of one host share a clock; other hosts' times are
// brought to that of rank 0 as they were at the beginning.
class TraceFile {
 public:
  // Before what is traced: compares the clocks, and checks that rank 0 can make the file.
  // Collective. Errors, the same on every rank: those of AtomicFile.
  static absl::StatusOr<TraceFile> Open(std::string path, Communicator* comm);

  // Writes the file, whole or not at all, and returns how many events the tracks had no room for.
  // Collective. Errors: ResourceExhausted when the ranks' events make over 2 GiB; those of writing,
  // on rank 0.
  absl::StatusOr<uint64_t> Write(const Trace& trace, Communicator* comm) const;

 private:
  TraceFile(std::string path, int64_t zero_ns) : path_(std::move(path)), zero_ns_(zero_ns) {}

  std::string path_;
  // The beginning, the same moment on every rank, on this host's clock.
  int64_t zero_ns_;
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_TRACE_FILE_H_
