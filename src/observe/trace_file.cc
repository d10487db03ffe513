#include "src/observe/trace_file.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/atomic_file.h"
#include "src/base/own_file.h"
#include "src/comm/agreement.h"

namespace finetune {
namespace {

// The number of messages in each direction for the measurement of a clock's offset. The fastest one
// counts.
constexpr int kPings = 16;

// The first line of every trace, by which finetune knows its own. It is the start of the JSON.
constexpr char kFirstLine[] = R"({"displayTimeUnit":"ms","otherData":{"writer":"finetune",)";

std::string ToBytes(int64_t number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof(number));
}

int64_t FromBytes(absl::string_view bytes) {
  int64_t number = 0;
  std::memcpy(&number, bytes.data(), std::min(bytes.size(), sizeof(number)));
  return number;
}

// Sends kPings messages from rank `from` to rank `to`. Returns, on all ranks, the smallest
// difference between the receiver's clock when a message arrived and the sender's clock when it was
// sent.
absl::StatusOr<int64_t> FastestMessage(int from, int to, absl::FunctionRef<int64_t()> now,
                                       Communicator* comm) {
  int64_t fastest = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < kPings; ++i) {
    FT_RETURN_IF_ERROR(comm->Barrier());
    std::string sent = comm->rank() == from ? ToBytes(now()) : "";
    FT_RETURN_IF_ERROR(comm->Broadcast(sent, from));
    fastest = std::min(fastest, now() - FromBytes(sent));
  }
  std::string result = ToBytes(fastest);
  FT_RETURN_IF_ERROR(comm->Broadcast(result, to));
  return FromBytes(result);
}

}  // namespace

absl::StatusOr<ClockOffset> MeasureClockOffset(int rank, absl::FunctionRef<int64_t()> now,
                                               Communicator* comm) {
  // `there` is a message's travel time plus the offset of the clock, `back` is the travel time
  // minus the offset.
  FT_ASSIGN_OR_RETURN(const int64_t there, FastestMessage(0, rank, now, comm));
  FT_ASSIGN_OR_RETURN(const int64_t back, FastestMessage(rank, 0, now, comm));
  if (comm->rank() != rank) return ClockOffset();
  return ClockOffset{(there - back) / 2, (there + back + 1) / 2};
}

absl::StatusOr<TraceFile> TraceFile::Open(std::string path, Communicator* comm) {
  absl::Status can_write;
  // Check that the file can be created. The AtomicFile is destroyed at once, which deletes its
  // temporary file. A job that queues again has the same --trace, so a trace is replaced without a
  // flag; any other file is kept.
  if (comm->rank() == 0) {
    can_write = AtomicFile::Create(path).status();
    can_write.Update(CheckOwnText(path, kFirstLine));
  }
  FT_RETURN_IF_ERROR(Agree(can_write, *comm));

  const std::vector<std::string>& hosts = comm->world().hosts;
  int64_t offset = 0;
  for (int rank = 0; rank < comm->size(); ++rank) {
    const auto first = std::find(hosts.begin(), hosts.end(), hosts[rank]) - hosts.begin();
    if (first == 0 || first != rank) continue;
    FT_ASSIGN_OR_RETURN(ClockOffset measured,
                        MeasureClockOffset(rank, absl::GetCurrentTimeNanos, comm));
    std::string bytes = ToBytes(measured.nanoseconds);
    FT_RETURN_IF_ERROR(comm->Broadcast(bytes, rank));
    if (comm->host(comm->rank()) == hosts[rank]) offset = FromBytes(bytes);
  }
  std::string zero = ToBytes(absl::GetCurrentTimeNanos());
  FT_RETURN_IF_ERROR(comm->Broadcast(zero, 0));
  return TraceFile(std::move(path), FromBytes(zero) + offset);
}

absl::StatusOr<uint64_t> TraceFile::Write(const Trace& trace, Communicator* comm) const {
  const Trace::Text mine = trace.ToJson(comm->rank(), comm->host(comm->rank()), zero_ns_);
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> texts, comm->AllGather(mine.events));
  double dropped[1] = {static_cast<double>(mine.dropped)};
  FT_RETURN_IF_ERROR(comm->AllReduceSum(absl::MakeSpan(dropped)));
  if (comm->rank() == 0) {
    FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path_));
    FT_RETURN_IF_ERROR(file.Write(
        absl::StrCat(kFirstLine, "\n\"began\":\"",
                     absl::FormatTime(absl::FromUnixNanos(zero_ns_), absl::UTCTimeZone()),
                     "\"},\"traceEvents\":[\n")));
    for (size_t rank = 0; rank < texts.size(); ++rank) {
      FT_RETURN_IF_ERROR(file.Write(rank == 0 ? "" : ",\n"));
      FT_RETURN_IF_ERROR(file.Write(texts[rank]));
    }
    FT_RETURN_IF_ERROR(file.Write("\n]}\n"));
    FT_RETURN_IF_ERROR(file.Commit());
  }
  return static_cast<uint64_t>(dropped[0]);
}

}  // namespace finetune
