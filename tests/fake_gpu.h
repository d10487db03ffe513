#ifndef FINETUNE_TESTS_FAKE_GPU_H_
#define FINETUNE_TESTS_FAKE_GPU_H_

#include <cstdint>
#include <vector>

namespace finetune {

// In programs that link it, and are built without CUDA, LibTorch has a device cuda:0 that is the
// CPU in disguise: its memory is the CPU's, its operators are the CPU's and are done when their
// caller returns. It counts what would hold up a real GPU or the thread that feeds it, and keeps
// the order of copies and events, so that tests can prove on a CPU what the code asks of a GPU.
// It cannot show a race: copies in a wrong order give the right numbers here.
class FakeGpu {
 public:
  enum class Kind {
    // Between the host and the device; `host` is the host's memory.
    kCopyIn,
    kCopyOut,
    // A stream records an event, a stream waits for it, or the host does. `event` is its number.
    kRecord,
    kStreamWaits,
    kHostWaits,
  };
  struct Entry {
    Kind kind;
    const void* host = nullptr;
    int64_t event = 0;
    bool operator==(const Entry&) const = default;
  };
  struct Counts {
    // Calls that return only when the device has done all that it was given: copies that are not
    // asked to be asynchronous or whose host memory is not pinned, scalars read from the device,
    // operators whose result's size depends on values, waits for a stream or the device.
    int64_t synchronising = 0;
    // Waits of the host for one event.
    int64_t event_waits = 0;
    // Pinned memory: requests, and those that no freed memory could serve.
    int64_t pinned_requests = 0;
    int64_t pinned_allocations = 0;

    Counts operator-(const Counts& before) const;
  };

  // Since the process began.
  static Counts counts();
  // Since the last call.
  static std::vector<Entry> TakeEntries();
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_FAKE_GPU_H_
