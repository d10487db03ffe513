#include "src/observe/trace.h"

#include <atomic>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

// Returns the events in `text` of one kind ("ph" in Chrome's format).
std::vector<Json> Parse(const Trace::Text& text, const std::string& kind) {
  std::vector<Json> found;
  for (const Json& event : Json::parse("[" + text.events + "]")) {
    if (event["ph"] == kind) found.push_back(event);
  }
  return found;
}

TEST(Trace, IsChromesJson) {
  Trace trace;
  TraceTrack* step = trace.AddTrack("step", "iteration");
  TraceTrack* communication = trace.AddTrack("communication \"fast\"", "bytes");
  constexpr int64_t kZero = 1795000000000000000;
  step->Add({"iteration", kZero + 1000, kZero + 9500, 7, 0});
  step->Add({"forward", kZero + 2000, kZero + 5000, -1, 0});
  communication->Add({"all-reduce", kZero + 4000, kZero + 6000, 4096, kZero + 3500});

  const Trace::Text text = trace.ToJson(3, "node<7>", kZero);
  EXPECT_EQ(text.dropped, 0u);
  const std::vector<Json> events = Parse(text, "X");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0], Json::parse(R"({"ph":"X","pid":3,"tid":0,"ts":1.0,"dur":8.5,
      "name":"iteration","args":{"iteration":7}})"));
  EXPECT_EQ(events[1], Json::parse(R"({"ph":"X","pid":3,"tid":0,"ts":2.0,"dur":3.0,
      "name":"forward"})"));
  EXPECT_EQ(events[2], Json::parse(R"({"ph":"X","pid":3,"tid":1,"ts":4.0,"dur":2.0,
      "name":"all-reduce","args":{"bytes":4096,"submitted":3.5}})"));
  std::set<std::string> names;
  for (const Json& event : Parse(text, "M")) {
    if (event["args"].contains("name")) names.insert(event["args"]["name"]);
  }
  EXPECT_EQ(names, (std::set<std::string>{"rank 3 (node<7>)", "step", "communication \"fast\""}));
}

TEST(Trace, KeepsTheLastEventsAndSaysHowManyItDropped) {
  Trace trace(/*capacity_of_track=*/8);
  TraceTrack* track = trace.AddTrack("step", "iteration");
  for (int64_t i = 0; i < 100; ++i) track->Add({"step", 1000 * i, 1000 * i + 500, i, 0});
  const Trace::Text text = trace.ToJson(0, "host", 0);
  const std::vector<Json> events = Parse(text, "X");
  ASSERT_EQ(events.size(), 7u);
  EXPECT_EQ(text.dropped, 93u);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(events[i]["args"]["iteration"], 93 + i);
  const std::vector<Json> notes = Parse(text, "i");
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0]["name"], "93 events before this were dropped");
  EXPECT_EQ(notes[0]["ts"], 93.0);
}

// Read() while another thread adds events must return complete events in the order in which they
// were added.
TEST(Trace, IsReadWholeWhileItGrows) {
  TraceTrack track("step", "iteration", 64);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int64_t i = 1; !stop; ++i) track.Add({"step", i, 2 * i, 3 * i, 4 * i});
  });
  uint64_t last = 0;
  for (int reads = 0; reads < 2000 || last < 1000; ++reads) {
    const TraceTrack::Events events = track.Read();
    int64_t expected = static_cast<int64_t>(events.dropped) + 1;
    for (const TraceTrack::Event& event : events.kept) {
      ASSERT_EQ(event.begin_ns, expected);
      ASSERT_EQ(event.end_ns, 2 * expected);
      ASSERT_EQ(event.value, 3 * expected);
      ASSERT_EQ(event.submitted_ns, 4 * expected);
      ++expected;
    }
    last = static_cast<uint64_t>(expected);
  }
  stop = true;
  writer.join();
}

TEST(TraceSpan, AddsItsLifetime) {
  TraceTrack track("step", "iteration", 8);
  {
    const TraceSpan whole(&track, "iteration", 7);
    TraceSpan phase(&track, "forward");
    phase.Next("backward");
  }
  const std::vector<TraceTrack::Event> events = track.Read().kept;
  ASSERT_EQ(events.size(), 3u);
  EXPECT_STREQ(events[0].name, "forward");
  EXPECT_STREQ(events[1].name, "backward");
  EXPECT_STREQ(events[2].name, "iteration");
  EXPECT_EQ(events[2].value, 7);
  EXPECT_EQ(events[0].end_ns, events[1].begin_ns);
  EXPECT_LE(events[2].begin_ns, events[0].begin_ns);
  EXPECT_GE(events[2].end_ns, events[1].end_ns);
}

TEST(TraceSpan, WithoutATrackDoesNothing) {
  TraceSpan span(nullptr, "forward");
  span.Next("backward");
}

}  // namespace
}  // namespace finetune
