// Tests finetune --trace as a user runs it.

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

struct Event {
  std::string name;
  double begin = 0, end = 0, submitted = 0;
};

// One rank's events by the name of their track, sorted by the time at which they begin.
using Tracks = std::map<std::string, std::vector<Event>>;

class TraceTest : public TrainingTest {
 protected:
  std::string path() const { return folder_ + "/trace.json"; }

  std::map<int, Tracks> ReadTrace() const {
    const Json json = Json::parse(*ReadFile(path()));
    std::map<std::pair<int, int>, std::string> names;
    for (const Json& event : json["traceEvents"]) {
      if (event["name"] == "thread_name") {
        names[{event["pid"], event["tid"]}] = event["args"]["name"];
      }
    }
    std::map<int, Tracks> ranks;
    for (const Json& event : json["traceEvents"]) {
      if (event["ph"] != "X") continue;
      const double begin = event["ts"], duration = event["dur"];
      ranks[event["pid"]][names.at({event["pid"], event["tid"]})].push_back(
          {event["name"], begin, begin + duration,
           event.contains("args") ? event["args"].value("submitted", 0.0) : 0.0});
    }
    for (auto& [rank, tracks] : ranks) {
      for (auto& [name, events] : tracks) {
        std::stable_sort(events.begin(), events.end(),
                         [](const Event& a, const Event& b) { return a.begin < b.begin; });
      }
    }
    return ranks;
  }
};

std::vector<Event> Named(const std::vector<Event>& events, const std::string& name) {
  std::vector<Event> found;
  for (const Event& event : events) {
    if (event.name == name) found.push_back(event);
  }
  return found;
}

bool Overlap(const Event& a, const Event& b) { return a.begin < b.end && b.begin < a.end; }

TEST_F(TraceTest, ShowsWhereEveryRanksTimeGoes) {
  WriteResNet();
  // The model is small, so the buckets must be small too if there are to be several.
  const Outcome run = Run(Mpirun(2, "run",
                                 absl::StrCat("--set=comm.first_bucket_mebibytes=0.01 "
                                              "--set=comm.bucket_mebibytes=0.05 --trace=",
                                              path())));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("trace " + path() + "\n"));
  const std::map<int, Tracks> ranks = ReadTrace();
  ASSERT_EQ(ranks.size(), 2u);
  int overlaps = 0;
  for (const auto& [rank, tracks] : ranks) {
    const std::vector<Event>& steps = tracks.at("step");
    EXPECT_EQ(Named(steps, "validation").size(), 3u);
    // The phases of an iteration follow each other without a gap.
    const std::vector<Event> iterations = Named(steps, "iteration");
    EXPECT_EQ(iterations.size(), 15u);
    for (const Event& iteration : iterations) {
      std::vector<std::string> phases;
      double last = 0;
      for (const Event& phase : steps) {
        if (phase.name == "iteration" || !Overlap(phase, iteration)) continue;
        // Times are rounded to nanoseconds.
        if (!phases.empty()) {
          EXPECT_NEAR(phase.begin, last, 0.002);
        }
        EXPECT_GE(phase.begin, iteration.begin - 0.002);
        EXPECT_LE(phase.end, iteration.end + 0.002);
        last = phase.end;
        phases.push_back(phase.name);
      }
      EXPECT_THAT(phases,
                  testing::ElementsAre("wait for data", "forward", "backward", "wait for gradients",
                                       "update", "agree on the loss", "log"));
    }
    // All-reduces start in the middle of backward and run at the same time.
    const std::vector<Event> all_reduces = Named(tracks.at("communication"), "all-reduce");
    for (const Event& backward : Named(steps, "backward")) {
      int left = 0;
      for (const Event& all_reduce : all_reduces) {
        left += all_reduce.submitted > backward.begin && all_reduce.submitted < backward.end;
        overlaps += Overlap(all_reduce, backward);
      }
      EXPECT_GE(left, 2);
    }
    EXPECT_FALSE(tracks.at("data loader 1").empty());
    EXPECT_FALSE(tracks.at("validation data loader 1").empty());
    EXPECT_EQ(tracks.count("checkpoint writer"), rank == 0 ? 1u : 0u);
  }
  EXPECT_GT(overlaps, 0);
  // A checkpoint is written before and after the validation of each epoch.
  EXPECT_EQ(Named(ranks.at(0).at("checkpoint writer"), "write a checkpoint").size(), 6u);
}

TEST_F(TraceTest, IsWrittenWhenASignalStopsTheRun) {
  WriteResNet();
  Job run(Mpirun(2, "run", absl::StrCat("--set=schedule.max_epochs=100000 --trace=", path())),
          folder_ + "/stopped.log");
  ASSERT_TRUE(run.WaitFor("epoch 2 [1/5]"));
  kill(run.pid(), SIGUSR1);
  const Outcome stopped = run.Wait();
  EXPECT_EQ(stopped.exit_code, 75) << stopped.output;
  const std::map<int, Tracks> ranks = ReadTrace();
  ASSERT_EQ(ranks.size(), 2u);
  for (const auto& [rank, tracks] : ranks) {
    EXPECT_GE(Named(tracks.at("step"), "iteration").size(), 6u);
  }
}

// A job that queues again writes its trace to the same path.
TEST_F(TraceTest, ReplacesAnEarlierTrace) {
  WriteResNet();
  for (const std::string more : {"", " --overwrite"}) {
    const Outcome run =
        Run(Mpirun(1, "run", absl::StrCat("--max_iterations=2 --trace=", path(), more)));
    EXPECT_EQ(run.exit_code, 0) << run.output;
  }
}

TEST_F(TraceTest, ReportsAnUnwritableFileBeforeTraining) {
  WriteResNet();
  const Outcome run = Run(Mpirun(2, "run", "--trace=/no/such/folder/trace.json"));
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output, HasSubstr("/no/such/folder/trace.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/run"));
}

}  // namespace
}  // namespace finetune
