#ifndef FINETUNE_COMM_REPLAY_COMMUNICATOR_H_
#define FINETUNE_COMM_REPLAY_COMMUNICATOR_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "src/comm/communicator.h"
#include "src/comm/graph_mark.h"

namespace finetune {

// A communicator that can record the all-reduces of tensors which are called while a CUDA graph is
// recorded. Replay() then starts the recorded all-reduces again after each launch of the graph. The
// all-reduces are not part of the graph, so that the watchdog and the trace see them. Each
// all-reduce begins when the launch has reached the point at which AllReduceSum() was called, not
// at the graph's end. All operations are passed on to another communicator, `inner`.
class ReplayCommunicator : public Communicator {
 public:
  // `inner` must outlive this object.
  explicit ReplayCommunicator(Communicator* inner) : inner_(*inner) {}

  // Forgets earlier recordings. Until EndRecording(), AllReduceSum() of a tensor only records the
  // call. Wait() on the Work that it returns does nothing: only Replay() starts the all-reduces and
  // waits for them.
  void BeginRecording();
  void EndRecording() { recording_ = false; }
  // Call it after each launch of the graph. Starts the recorded all-reduces in the order of their
  // recording, then calls Work::Wait() on each. Errors: those of the all-reduces.
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
