#include "src/comm/replay_communicator.h"

#include <cstdlib>
#include <utility>

#include "src/base/status_macros.h"

namespace finetune {

void ReplayCommunicator::BeginRecording() {
  recorded_.clear();
  recording_ = true;
}

absl::StatusOr<std::unique_ptr<Communicator::Work>> ReplayCommunicator::AllReduceSum(
    const at::Tensor& tensor, Wire wire) {
  if (!recording_) return inner_.AllReduceSum(tensor, wire);
  class Later : public Work {
   public:
    absl::Status Wait() override { return absl::OkStatus(); }
  };
  recorded_.push_back({tensor, wire, GraphMark(inner_.device())});
  return std::make_unique<Later>();
}

absl::Status ReplayCommunicator::Replay() {
  std::vector<std::unique_ptr<Work>> works;
  for (const Recorded& recorded : recorded_) {
    const GraphMark::After after(recorded.mark);
    FT_ASSIGN_OR_RETURN(works.emplace_back(), inner_.AllReduceSum(recorded.tensor, recorded.wire));
  }
  for (const std::unique_ptr<Work>& work : works) FT_RETURN_IF_ERROR(work->Wait());
  return absl::OkStatus();
}

void ReplayCommunicator::Abort(absl::string_view reason) {
  inner_.Abort(reason);
  // Never reached. The compiler does not know that the virtual function above does not return.
  std::abort();
}

}  // namespace finetune
