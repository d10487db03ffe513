// Runs under mpirun with two or more ranks.
#include "src/observe/trace_file.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

std::unique_ptr<MpiCommunicator> Make() {
  absl::StatusOr<std::unique_ptr<MpiCommunicator>> comm =
      MpiCommunicator::Create(TestSession(), CommConfig(), CommObserver());
  EXPECT_TRUE(comm.ok()) << comm.status();
  return *std::move(comm);
}

TEST(ClockOffset, IsWithinItsErrorOfTheTruth) {
  const std::unique_ptr<MpiCommunicator> comm = Make();
  const int last = comm->size() - 1;
  for (const int64_t ahead : {int64_t{0}, int64_t{5000000000}, int64_t{-3600000000000}}) {
    const auto now = [&] {
      return absl::GetCurrentTimeNanos() + (comm->rank() == last ? ahead : 0);
    };
    const absl::StatusOr<ClockOffset> offset = MeasureClockOffset(last, now, comm.get());
    ASSERT_TRUE(offset.ok()) << offset.status();
    if (comm->rank() == last) {
      EXPECT_LE(std::abs(offset->nanoseconds - ahead), offset->error_ns);
    } else {
      EXPECT_EQ(offset->nanoseconds, 0);
    }
  }
}

TEST(TraceFile, BringsAllRanksTogether) {
  const std::unique_ptr<MpiCommunicator> comm = Make();
  const std::string path = testing::TempDir() + absl::StrCat("/trace_", comm->size(), ".json");
  const absl::StatusOr<TraceFile> file = TraceFile::Open(path, comm.get());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(std::filesystem::exists(path));
  Trace trace(/*capacity_of_track=*/4);
  TraceTrack* track = trace.AddTrack("step", "iteration");
  for (int i = 0; i < 5; ++i) {
    const TraceSpan span(track, "iteration", i);
    ASSERT_TRUE(comm->Barrier().ok());
  }
  const absl::StatusOr<uint64_t> dropped = file->Write(trace, comm.get());
  ASSERT_TRUE(dropped.ok()) << dropped.status();
  EXPECT_EQ(*dropped, 2u * comm->size());
  if (comm->rank() != 0) return;

  const Json json = Json::parse(*ReadFile(path));
  std::filesystem::remove(path);
  std::set<std::string> processes;
  // The times at which each barrier began and ended, by (rank, iteration).
  std::map<std::pair<int, int>, std::pair<double, double>> spans;
  for (const Json& event : json["traceEvents"]) {
    if (event["name"] == "process_name") processes.insert(event["args"]["name"]);
    if (event["ph"] != "X") continue;
    const double begin = event["ts"];
    spans[{event["pid"], event["args"]["iteration"]}] = {begin, begin + event["dur"].get<double>()};
  }
  EXPECT_EQ(processes.size(), static_cast<size_t>(comm->size()));
  EXPECT_EQ(spans.size(), 3u * comm->size());
  // By the converted times no rank may leave a barrier before every rank has entered it.
  for (const auto& [key, span] : spans) {
    EXPECT_GE(span.first, 0);
    for (int other = 0; other < comm->size(); ++other) {
      EXPECT_LE(spans.at({other, key.second}).first, span.second);
    }
  }
}

TEST(TraceFile, FailureToCreateIsEveryRanksErrorBeforeTheRun) {
  const std::unique_ptr<MpiCommunicator> comm = Make();
  const absl::Status status = TraceFile::Open("/no/such/folder/trace.json", comm.get()).status();
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("/no/such/folder/trace.json"));
}

}  // namespace
}  // namespace finetune
