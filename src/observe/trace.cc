#include "src/observe/trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

// Appends a metadata event, which sets a process's or thread's name or its place in the viewer.
// `what`: the kind, such as "process_name".
void AppendMetadata(const char* what, int rank, size_t track, Json arguments, std::string* out) {
  const Json json = {
      {"ph", "M"}, {"pid", rank}, {"tid", track}, {"name", what}, {"args", std::move(arguments)}};
  absl::StrAppend(out, out->empty() ? "" : ",\n",
                  json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

}  // namespace

TraceTrack::TraceTrack(std::string name, std::string value_name, size_t capacity)
    : name_(std::move(name)),
      value_name_(std::move(value_name)),
      mask_(capacity - 1),
      slots_(new Slot[capacity]()) {}

TraceTrack::Events TraceTrack::Read() const {
  // Returns the number of the oldest event that can be read when `count` events have been added.
  // Another thread may just be writing event number `count` to the slot of event number count -
  // capacity, so the oldest safe one is count - capacity + 1.
  const auto first = [this](uint64_t count) { return count > mask_ ? count - mask_ : 0; };
  const uint64_t end = count_.load(std::memory_order_acquire);
  const uint64_t begin = first(end);
  Events events;
  for (uint64_t i = begin; i < end; ++i) {
    const Slot& slot = slots_[i & mask_];
    events.kept.push_back(
        {slot.name.load(std::memory_order_relaxed), slot.begin_ns.load(std::memory_order_relaxed),
         slot.end_ns.load(std::memory_order_relaxed), slot.value.load(std::memory_order_relaxed),
         slot.submitted_ns.load(std::memory_order_relaxed)});
  }
  // Drop the events whose slots may have been overwritten while the loop above read them.
  std::atomic_thread_fence(std::memory_order_acquire);
  events.dropped = std::min(first(count_.load(std::memory_order_relaxed)), end);
  events.kept.erase(events.kept.begin(),
                    events.kept.begin() + static_cast<std::ptrdiff_t>(events.dropped - begin));
  return events;
}

TraceTrack* Trace::AddTrack(std::string name, std::string value_name) {
  const absl::MutexLock lock(&mutex_);
  return &tracks_.emplace_back(std::move(name), std::move(value_name), capacity_);
}

Trace::Text Trace::ToJson(int rank, absl::string_view host, int64_t zero_ns) const {
  const auto microseconds = [zero_ns](int64_t ns) {
    return static_cast<double>(ns - zero_ns) / 1000;
  };
  Text text;
  AppendMetadata("process_name", rank, 0, {{"name", absl::StrCat("rank ", rank, " (", host, ")")}},
                 &text.events);
  AppendMetadata("process_sort_index", rank, 0, {{"sort_index", rank}}, &text.events);
  const absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < tracks_.size(); ++i) {
    const TraceTrack& track = tracks_[i];
    const TraceTrack::Events events = track.Read();
    text.dropped += events.dropped;
    AppendMetadata("thread_name", rank, i, {{"name", track.name()}}, &text.events);
    AppendMetadata("thread_sort_index", rank, i, {{"sort_index", i}}, &text.events);
    if (events.dropped > 0 && !events.kept.empty()) {
      absl::StrAppendFormat(&text.events,
                            ",\n{\"ph\":\"i\",\"s\":\"t\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,"
                            "\"name\":\"%d events before this were dropped\"}",
                            rank, i, microseconds(events.kept.front().begin_ns), events.dropped);
    }
    for (const TraceTrack::Event& event : events.kept) {
      absl::StrAppendFormat(&text.events,
                            ",\n{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,"
                            "\"name\":\"%s\"",
                            rank, i, microseconds(event.begin_ns),
                            static_cast<double>(event.end_ns - event.begin_ns) / 1000, event.name);
      if (event.value >= 0 || event.submitted_ns != 0) {
        std::string arguments;
        if (event.value >= 0) {
          absl::StrAppendFormat(&arguments, "\"%s\":%d", track.value_name(), event.value);
        }
        if (event.submitted_ns != 0) {
          absl::StrAppendFormat(&arguments, "%s\"submitted\":%.3f", arguments.empty() ? "" : ",",
                                microseconds(event.submitted_ns));
        }
        absl::StrAppend(&text.events, ",\"args\":{", arguments, "}");
      }
      text.events += '}';
    }
  }
  return text;
}

}  // namespace finetune
