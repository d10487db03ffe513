#ifndef FINETUNE_OBSERVE_TRACE_H_
#define FINETUNE_OBSERVE_TRACE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace finetune {

// The latest events of one thread, in a ring buffer that is allocated by the constructor.
class TraceTrack {
 public:
  struct Event {
    // A string literal without characters that JSON must escape.
    const char* name = "";
    // Nanoseconds since the Unix epoch, by this host's clock.
    int64_t begin_ns = 0;
    int64_t end_ns = 0;
    // A number to show with the event, such as its bytes; -1: none.
    int64_t value = -1;
    // The time at which the event was submitted, if that was earlier than its beginning, in
    // nanoseconds as above; 0: unknown.
    int64_t submitted_ns = 0;
  };

  // `capacity`: the size of the ring buffer in events, a power of two; Read() returns at most one
  // fewer. `value_name`: the name of the events' `value` ("bytes").
  TraceTrack(std::string name, std::string value_name, size_t capacity);

  // Adds an event. Call it from one thread at a time. It takes no lock.
  void Add(const Event& event) {
    const uint64_t n = count_.load(std::memory_order_relaxed);
    Slot& slot = slots_[n & mask_];
    // With this fence a reader that sees a part of this event also sees that the count has reached
    // n, so it knows that the slot is being overwritten.
    std::atomic_thread_fence(std::memory_order_release);
    slot.name.store(event.name, std::memory_order_relaxed);
    slot.begin_ns.store(event.begin_ns, std::memory_order_relaxed);
    slot.end_ns.store(event.end_ns, std::memory_order_relaxed);
    slot.value.store(event.value, std::memory_order_relaxed);
    slot.submitted_ns.store(event.submitted_ns, std::memory_order_relaxed);
    count_.store(n + 1, std::memory_order_release);
  }

  struct Events {
    std::vector<Event> kept;
    uint64_t dropped = 0;
  };
  // Returns the events, the oldest first. Any thread may call it, also while another thread adds
  // events.
  Events Read() const;

  const std::string& name() const { return name_; }
  const std::string& value_name() const { return value_name_; }

 private:
  struct Slot {
    std::atomic<const char*> name;
    std::atomic<int64_t> begin_ns, end_ns, value, submitted_ns;
  };

  const std::string name_;
  const std::string value_name_;
  const uint64_t mask_;
  const std::unique_ptr<Slot[]> slots_;
  std::atomic<uint64_t> count_{0};
};

// The events of all threads of this process, for Chrome's and Perfetto's viewers.
class Trace {
 public:
  // The default size of a track's ring buffer in events. A training step adds about eight events,
  // so this is about 2000 steps.
  static constexpr size_t kCapacity = 16384;

  explicit Trace(size_t capacity_of_track = kCapacity) : capacity_(capacity_of_track) {}

  // Adds a track, which lives as long as this object. Thread-safe.
  TraceTrack* AddTrack(std::string name, std::string value_name);

  struct Text {
    // JSON objects, one a line, separated by commas.
    std::string events;
    uint64_t dropped = 0;
  };
  // Returns the events as JSON, as those of process `rank` on `host`. Times are in microseconds
  // since `zero_ns` of this host's clock.
  Text ToJson(int rank, absl::string_view host, int64_t zero_ns) const;

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<TraceTrack> tracks_ ABSL_GUARDED_BY(mutex_);
};

// Adds its own lifetime to a track as an event. If the track is null, it does nothing.
class TraceSpan {
 public:
  TraceSpan(TraceTrack* track, const char* name, int64_t value = -1)
      : track_(track),
        name_(name),
        value_(value),
        begin_ns_(track == nullptr ? 0 : absl::GetCurrentTimeNanos()) {}
  ~TraceSpan() {
    if (track_ != nullptr) End(absl::GetCurrentTimeNanos());
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

  // Ends the current event and starts the event `name`.
  void Next(const char* name) {
    if (track_ == nullptr) return;
    const int64_t now = absl::GetCurrentTimeNanos();
    End(now);
    name_ = name;
    value_ = -1;
    begin_ns_ = now;
  }

 private:
  void End(int64_t now) { track_->Add({name_, begin_ns_, now, value_, 0}); }

  TraceTrack* const track_;
  const char* name_;
  int64_t value_;
  int64_t begin_ns_;
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_TRACE_H_
