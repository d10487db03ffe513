#ifndef FINETUNE_TESTS_FAKE_GPU_H_
#define FINETUNE_TESTS_FAKE_GPU_H_

#include <cstdint>
#include <vector>

namespace finetune {

// Gives LibTorch a device cuda:0 that is really the CPU, in programs that link this file and are
// built without CUDA. The device uses the CPU's memory and operators, and an operator is done when
// the call returns. The class counts the calls that would block the host on a real GPU, and records
// the order of copies and events. So tests can check on a CPU how the code uses a GPU. It cannot
// show a race: copies in a wrong order give the right numbers here.
class FakeGpu {
 public:
  enum class Kind {
    // A copy from the host to the device, or from the device to the host. `host` is the host's
    // memory.
    kCopyIn,
    kCopyOut,
    // A stream records an event; a stream waits for an event; the host waits for an event. `event`
    // is the event's number.
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
    // The number of calls that return only when the device has done all its work: copies that are
    // not asynchronous or whose host memory is not pinned, scalars read from the device, operators
    // whose result's size depends on values, and waits for a stream or the device.
    int64_t synchronising = 0;
    // The number of times that the host waited for one event.
    int64_t event_waits = 0;
    // The requests for pinned memory, and how many of them needed new memory because no freed block
    // fitted.
    int64_t pinned_requests = 0;
    int64_t pinned_allocations = 0;

    Counts operator-(const Counts& before) const;
  };

  // Returns the counts since the process began.
  static Counts counts();
  // Returns the entries since the last call.
  static std::vector<Entry> TakeEntries();
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_FAKE_GPU_H_
