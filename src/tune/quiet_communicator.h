#ifndef FINETUNE_TUNE_QUIET_COMMUNICATOR_H_
#define FINETUNE_TUNE_QUIET_COMMUNICATOR_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/comm/communicator.h"

namespace finetune {

// A communicator whose all-reduces of tensors can be left out. `finetune batch` first tries a pass
// without them: if the pass of one rank does not fit into its memory, the other ranks do not wait
// in an all-reduce that this rank never reaches. All operations go to another communicator.
class QuietCommunicator : public Communicator {
 public:
  // `inner` must outlive this object.
  explicit QuietCommunicator(Communicator* inner) : inner_(*inner) {}

  // While quiet, an all-reduce of a tensor leaves the tensor as it is.
  void SetQuiet(bool quiet) { quiet_ = quiet; }

  using Communicator::AllReduceSum;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override {
    if (quiet_) return std::make_unique<Finished>();
    return inner_.AllReduceSum(tensor, wire);
  }

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
  Communicator& inner_;
  bool quiet_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_TUNE_QUIET_COMMUNICATOR_H_
