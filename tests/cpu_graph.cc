#include "tests/cpu_graph.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <cstring>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "src/tensor/libtorch_bridge.h"

namespace finetune {
namespace {

// Operators with this dispatch key are seen after autograd has recorded them and before a kernel
// computes them. Nothing else uses the key.
constexpr c10::DispatchKey kKey = c10::DispatchKey::Fake;

int64_t replays = 0;

void ForEachTensor(const c10::IValue& value, const std::function<void(const at::Tensor&)>& call) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) call(value.toTensor());
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) ForEachTensor(element, call);
  }
}

bool Shares(const at::Tensor& a, const at::Tensor& b) {
  return a.storage().unsafeGetStorageImpl() == b.storage().unsafeGetStorageImpl();
}

class CpuGraph : public at::GraphImplInterface {
 public:
  explicit CpuGraph(const at::GraphImplArgs& /*args*/) {}

  void capture_begin(at::MempoolId_t /*pool*/, at::GraphCaptureMode /*mode*/) override {
    now_recording = this;
    c10::impl::tls_set_dispatch_key_included(kKey, true);
  }
  void capture_end() override {
    c10::impl::tls_set_dispatch_key_included(kKey, false);
    now_recording = nullptr;
    for (const auto& [storage, bytes] : before_) {
      if (!bytes.empty()) std::memcpy(storage.mutable_data(), bytes.data(), bytes.size());
    }
    before_.clear();
  }
  void instantiate() override {}
  void replay() override {
    ++replays;
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    for (const Call& call : calls_) {
      torch::jit::Stack stack = call.inputs;
      call.op.callBoxed(stack);
      for (size_t i = 0; i < stack.size(); ++i) Put(stack[i], call.outputs[i]);
    }
  }
  void reset() override { calls_.clear(); }
  at::MempoolId_t pool() const override { return {0, 0}; }
  void enable_debug_mode() override {}
  void debug_dump(const std::string& /*path*/) override {}

  // Called instead of each operator during a recording. Records the call and then runs the
  // operator.
  static void Record(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                     torch::jit::Stack* stack) {
    const c10::impl::ExcludeDispatchKeyGuard once(kKey);
    const auto inputs = torch::jit::last(*stack, op.schema().arguments().size()).vec();
    for (const c10::IValue& input : inputs) now_recording->Keep(input);
    op.redispatchBoxed(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kKey), stack);
    const auto outputs = torch::jit::last(*stack, op.schema().returns().size()).vec();
    for (const c10::IValue& output : outputs) now_recording->Made(output);
    now_recording->calls_.push_back({op, inputs, outputs});
  }

 private:
  struct Call {
    c10::OperatorHandle op;
    std::vector<c10::IValue> inputs, outputs;
  };

  // Keeps a copy of the contents of tensors that existed before the recording.
  void Keep(const c10::IValue& value) {
    ForEachTensor(value, [this](const at::Tensor& tensor) {
      const c10::Storage& storage = tensor.storage();
      if (!seen_.insert(storage.unsafeGetStorageImpl()).second) return;
      const auto* bytes = static_cast<const char*>(storage.data());
      before_.emplace_back(storage, std::vector<char>(bytes, bytes + storage.nbytes()));
    });
  }
  void Made(const c10::IValue& value) {
    ForEachTensor(value, [this](const at::Tensor& tensor) {
      seen_.insert(tensor.storage().unsafeGetStorageImpl());
    });
  }
  // Copies the result of a replayed call to the memory of the recorded result.
  static void Put(const c10::IValue& from, const c10::IValue& to) {
    if (from.isTensor() && from.toTensor().defined()) {
      if (!Shares(from.toTensor(), to.toTensor())) to.toTensor().copy_(from.toTensor());
    } else if (from.isList()) {
      for (size_t i = 0; i < from.toListRef().size(); ++i) {
        Put(from.toListRef()[i], to.toListRef()[i]);
      }
    }
  }

  // The recording that is running, or null. It is not thread-local, because the backward pass may
  // run on another thread, where the key is set too.
  static CpuGraph* now_recording;
  // The recorded calls. They hold all their tensors, so no later storage gets the address of an
  // earlier one.
  std::vector<Call> calls_;
  std::set<const c10::StorageImpl*> seen_;
  std::vector<std::pair<c10::Storage, std::vector<char>>> before_;
};

CpuGraph* CpuGraph::now_recording = nullptr;

}  // namespace

int64_t CpuGraphReplays() { return replays; }

}  // namespace finetune

namespace at {
REGISTER_GRAPH_IMPL(CPU, finetune::CpuGraph)
#ifndef FINETUNE_BRIDGES_CUDA
// For tests/fake_gpu. In a build with CUDA, LibTorch registers its own class.
REGISTER_GRAPH_IMPL(CUDA, finetune::CpuGraph)
#endif
}  // namespace at

TORCH_LIBRARY_IMPL(_, Fake, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&finetune::CpuGraph::Record>());
}
