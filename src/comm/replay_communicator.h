#ifndef FINETUNE_COMM_REPLAY_COMMUNICATOR_H_
#define FINETUNE_COMM_REPLAY_COMMUNICATOR_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "src/comm/communicator.h"
#include "src/comm/graph_mark.h"

namespace finetune {

// Wraps a communicator so that its all-reduces of tensors can be recorded beside a GPU's graph and
// started again with each launch of the graph. They stay outside of the graph, where the watchdog
// and the trace see them. Each begins when the graph has reached the point where it was recorded,
// not at the graph's end.
class ReplayCommunicator : public Communicator {
 public:
  // `inner` must outlive it.
  explicit ReplayCommunicator(Communicator* inner) : inner_(*inner) {}

  // Forgets earlier recordings. Until EndRecording(), AllReduceSum of a tensor starts nothing, and
  // its Work must not be waited for: Replay() does that.
  void BeginRecording();
  void EndRecording() { recording_ = false; }
  // Call it after a launch of the graph. It starts the recorded all-reduces in their order and
  // waits as Work::Wait() does. Errors: those of the all-reduces.
  absl::Status Replay();

  using Communicator::AllReduceSum;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override;

  const World& world() const override { return inner_.world(); }
  int device() const override { return inner_.device(); }
  absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) override {
    return inner_.AllocateBuffer(numel);
  }
  absl::Status AllReduceSum(absl::Span<double> values) override {
    return inner_.AllReduceSum(values);
  }
  absl::Status Broadcast(const at::Tensor& tensor, int root) override {
    return inner_.Broadcast(tensor, root);
  }
  absl::Status Broadcast(std::string& bytes, int root) override {
    return inner_.Broadcast(bytes, root);
  }
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) override {
    return inner_.AllGather(bytes);
  }
  absl::Status Barrier() override { return inner_.Barrier(); }
  void SetWarn(std::function<void(absl::string_view)> warn) override {
    inner_.SetWarn(std::move(warn));
  }
  void SetActivity(absl::string_view activity) override { inner_.SetActivity(activity); }
  [[noreturn]] void Abort(absl::string_view reason) override;

 private:
  struct Recorded {
    at::Tensor tensor;
    Wire wire;
    GraphMark mark;
  };

  Communicator& inner_;
  bool recording_ = false;
  std::vector<Recorded> recorded_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_REPLAY_COMMUNICATOR_H_
