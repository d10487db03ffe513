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

// The latest events of one thread, such as the steps of training, with their times. They are kept
// in a ring buffer that the constructor allocates.
class TraceTrack {
 public:
  struct Event {
    // A string literal without characters that JSON must escape.
    const char* name = "";
    // The times at which the event began and ended, in nanoseconds since the Unix epoch by this
    // host's clock.
    int64_t begin_ns = 0;
    int64_t end_ns = 0;
    // A number to show with the event, such as a number of bytes. -1: none.
    int64_t value = -1;
    // When the event was submitted, if it began later than that; same unit as begin_ns. 0: unknown.
    int64_t submitted_ns = 0;
  };

  // `capacity`: the size of the ring buffer in events, a power of two. Read() returns at most
  // capacity - 1 events. `value_name`: what Event::value means, such as "bytes".
  TraceTrack(std::string name, std::string value_name, size_t capacity);

  // Adds an event; the oldest one is overwritten if the buffer is full. Call it on one thread at a
  // time. It takes no lock.
  void Add(const Event& event) {
    const uint64_t n = count_.load(std::memory_order_relaxed);
    Slot& slot = slots_[n & mask_];
    // Because of this fence a reader that sees a part of this event also sees that `count_` is at
    // least n. From that it knows that the slot's old event is lost.
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
  // Returns the kept events, oldest first, and the number of dropped (overwritten) ones. May be
  // called on any thread, also while another thread adds events.
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

// The events of all threads of this process, which ToJson() writes for the trace viewers of Chrome
// and Perfetto.
class Trace {
 public:
  // The default size of a track's ring buffer in events. A training step adds about eight events,
  // so this is enough for about 2000 steps.
  static constexpr size_t kCapacity = 16384;

  explicit Trace(size_t capacity_of_track = kCapacity) : capacity_(capacity_of_track) {}

  // Adds a track for a thread. The track lives as long as this object. Thread-safe.
  TraceTrack* AddTrack(std::string name, std::string value_name);

  struct Text {
    // One JSON object on each line, separated by commas.
    std::string events;
    uint64_t dropped = 0;
  };
  // Returns the events in Chrome's JSON format. The process is shown as "rank R (HOST)". Times are
  // in microseconds since `zero_ns`, a time of this host's clock in nanoseconds.
  Text ToJson(int rank, absl::string_view host, int64_t zero_ns) const;

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<TraceTrack> tracks_ ABSL_GUARDED_BY(mutex_);
};

// An event that lasts as long as this object lives. The destructor adds it to the track. If the
// track is null, it does nothing.
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

  // Ends the current event and begins another one called `name`.
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
