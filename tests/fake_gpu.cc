#include "tests/fake_gpu.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace finetune {
namespace {

constexpr at::DeviceType kType = at::kCUDA;
const at::Device kDevice(kType, 0);

// The state that all classes below share.
struct State {
  std::mutex mutex;
  FakeGpu::Counts counts;
  std::vector<FakeGpu::Entry> entries;
  int64_t events = 0;
  // Sizes of pinned blocks by address, and freed blocks by size.
  std::map<const char*, size_t> pinned;
  std::multimap<size_t, char*> freed;

  static State& Get() {
    static auto* const state = new State;
    return *state;
  }
  bool IsPinned(const void* address) {
    const std::lock_guard lock(mutex);
    auto after = pinned.upper_bound(static_cast<const char*>(address));
    if (after == pinned.begin()) return false;
    --after;
    return static_cast<const char*>(address) < after->first + after->second;
  }
  void Synchronises() {
    const std::lock_guard lock(mutex);
    ++counts.synchronising;
  }
  void Add(const FakeGpu::Entry& entry) {
    const std::lock_guard lock(mutex);
    entries.push_back(entry);
  }
};

// Allocates at least `bytes` + 64 bytes at an address that is a multiple of 64.
void* Allocate(size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64); }

// The allocator of the device's memory.
class Memory : public c10::DeviceAllocator {
 public:
  at::DataPtr allocate(size_t bytes) override {
    void* const memory = Allocate(bytes);
    return {memory, memory, &std::free, kDevice};
  }
  at::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t /*pool*/) override {}
  void recordStream(const at::DataPtr& /*memory*/, c10::Stream /*stream*/) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex /*device*/) override {
    return {};
  }
  void resetAccumulatedStats(c10::DeviceIndex /*device*/) override {}
  void resetPeakStats(c10::DeviceIndex /*device*/) override {}
};

// The allocator of the host's pinned memory. It keeps freed memory for later requests, as LibTorch
// does.
class PinnedMemory : public at::HostAllocator {
 public:
  at::DataPtr allocate(size_t bytes) override {
    State& state = State::Get();
    const std::lock_guard lock(state.mutex);
    ++state.counts.pinned_requests;
    char* memory = nullptr;
    if (const auto found = state.freed.find(bytes); found != state.freed.end()) {
      memory = found->second;
      state.freed.erase(found);
    } else {
      ++state.counts.pinned_allocations;
      memory = static_cast<char*>(Allocate(bytes));
      state.pinned[memory] = bytes + 64;
    }
    return {memory, memory, &Free, at::kCPU};
  }
  at::DeleterFnPtr raw_deleter() const override { return &Free; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  bool record_event(void* /*memory*/, void* /*context*/, c10::Stream /*stream*/) override {
    return true;
  }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}

 private:
  static void Free(void* memory) {
    State& state = State::Get();
    const std::lock_guard lock(state.mutex);
    const auto found = state.pinned.find(static_cast<char*>(memory));
    if (found == state.pinned.end()) return;
    state.freed.emplace(found->second - 64, static_cast<char*>(memory));
  }
};

Memory& DeviceMemory() {
  static auto* const memory = new Memory;
  return *memory;
}
PinnedMemory& HostMemory() {
  static auto* const memory = new PinnedMemory;
  return *memory;
}

thread_local int64_t current_stream = 0;

class Guard : public c10::impl::DeviceGuardImplInterface {
 public:
  Guard() = default;
  at::DeviceType type() const override { return kType; }
  at::Device exchangeDevice(at::Device /*device*/) const override { return kDevice; }
  at::Device getDevice() const override { return kDevice; }
  void setDevice(at::Device /*device*/) const override {}
  void uncheckedSetDevice(at::Device /*device*/) const noexcept override {}
  c10::Stream getStream(at::Device /*device*/) const override { return StreamOf(current_stream); }
  c10::Stream getDefaultStream(at::Device /*device*/) const override { return StreamOf(0); }
  c10::Stream getStreamFromGlobalPool(at::Device /*device*/, bool /*high*/) const override {
    return StreamOf(1);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return StreamOf(std::exchange(current_stream, stream.id()));
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream& /*stream*/, c10::DeviceIndex /*device*/,
              c10::EventFlag /*flag*/) const override {
    State& state = State::Get();
    const std::lock_guard lock(state.mutex);
    if (*event == nullptr) *event = reinterpret_cast<void*>(++state.events);
    state.entries.push_back({FakeGpu::Kind::kRecord, nullptr, NumberOf(*event)});
  }
  void block(void* event, const c10::Stream& /*stream*/) const override {
    State::Get().Add({FakeGpu::Kind::kStreamWaits, nullptr, NumberOf(event)});
  }
  bool queryEvent(void* /*event*/) const override { return true; }
  bool queryStream(const c10::Stream& /*stream*/) const override { return true; }
  void synchronizeEvent(void* event) const override {
    State& state = State::Get();
    const std::lock_guard lock(state.mutex);
    ++state.counts.event_waits;
    state.entries.push_back({FakeGpu::Kind::kHostWaits, nullptr, NumberOf(event)});
  }
  void synchronizeStream(const c10::Stream& /*stream*/) const override {
    State::Get().Synchronises();
  }
  void synchronizeDevice(c10::DeviceIndex /*device*/) const override {
    State::Get().Synchronises();
  }

 private:
  static c10::Stream StreamOf(int64_t id) { return c10::Stream(c10::Stream::UNSAFE, kDevice, id); }
  static int64_t NumberOf(void* event) { return reinterpret_cast<int64_t>(event); }
};

struct Hooks : public at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs /*args*/) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex /*device*/) const override { return true; }
  at::DeviceIndex deviceCount() const override { return 1; }
  at::DeviceIndex current_device() const override { return 0; }
  at::DeviceIndex getCurrentDevice() const override { return 0; }
  at::Allocator* getPinnedMemoryAllocator() const override { return &HostMemory(); }
  at::Allocator* getCUDADeviceAllocator() const override { return &DeviceMemory(); }
  bool isPinnedPtr(const void* address) const override { return State::Get().IsPinned(address); }
};

// Returns a CPU tensor on the same memory, for the duration of a call. A tensor without elements
// gets memory of its own, because an operator may resize it to hold its result.
at::Tensor OnCpu(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.is_cuda()) return tensor;
  if (tensor.numel() == 0)
    return at::empty(tensor.sizes(), at::TensorOptions(tensor.scalar_type()));
  return at::from_blob(const_cast<void*>(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                       at::TensorOptions(tensor.scalar_type()));
}

// Returns a CPU result as a tensor of the device, which keeps the CPU tensor alive.
at::Tensor OnDevice(const at::Tensor& result) {
  if (!result.defined()) return result;
  const auto free = [](void* kept) { delete static_cast<at::Tensor*>(kept); };
  auto* kept = new at::Tensor(result);
  c10::Storage storage(c10::Storage::use_byte_size_t{}, result.storage().nbytes(),
                       at::DataPtr(result.storage().mutable_data(), kept, free, kDevice),
                       &DeviceMemory(), /*resizable=*/true);
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CUDA), result.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(result.sizes(), result.strides(),
                                                      result.storage_offset());
  return tensor;
}

// Converts the arguments of one operator call to the CPU and its results back to the device.
class Call {
 public:
  c10::IValue ToCpu(const c10::IValue& value) {
    if (value.isTensor()) return One(value.toTensor());
    if (value.isDevice()) return at::Device(at::kCPU);
    if (value.isTensorList()) {
      std::vector<at::Tensor> tensors;
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(One(tensor));
      return tensors;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> tensors;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
        tensors.push_back(tensor.has_value() ? std::optional(One(*tensor)) : std::nullopt);
      }
      return tensors;
    }
    return value;
  }
  c10::IValue ToDevice(const c10::IValue& value) {
    if (value.isTensor()) return Back(value.toTensor());
    if (value.isTensorList()) {
      std::vector<at::Tensor> tensors;
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(Back(tensor));
      return tensors;
    }
    return value;
  }

 private:
  at::Tensor One(const at::Tensor& tensor) {
    at::Tensor cpu = OnCpu(tensor);
    if (tensor.defined() && tensor.is_cuda()) given_[cpu.unsafeGetTensorImpl()] = tensor;
    kept_.push_back(cpu);
    return cpu;
  }
  at::Tensor Back(const at::Tensor& tensor) {
    const auto found = given_.find(tensor.unsafeGetTensorImpl());
    if (found == given_.end()) return OnDevice(tensor);
    const at::Tensor& given = found->second;
    if (given.sizes() != tensor.sizes()) {
      const at::Tensor resized = OnDevice(tensor);
      given.unsafeGetTensorImpl()->set_storage_keep_dtype(resized.storage());
      given.unsafeGetTensorImpl()->set_sizes_and_strides(resized.sizes(), resized.strides(), 0);
    }
    return given;
  }

  std::map<const c10::TensorImpl*, at::Tensor> given_;
  std::vector<at::Tensor> kept_;
};

// Returns the operators whose results have a size or value that the host must read from the device.
const std::set<std::string>& DependOnValues() {
  static const auto* const names = new std::set<std::string>{
      "aten::nonzero",  "aten::masked_select", "aten::_unique2",  "aten::equal",
      "aten::bincount", "aten::unique_dim",    "aten::is_set_to", "aten::histc"};
  return *names;
}

void RunOnCpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (DependOnValues().contains(op.schema().name())) State::Get().Synchronises();
  Call call;
  const size_t arguments = op.schema().arguments().size();
  for (const c10::IValue& value : torch::jit::last(*stack, arguments)) {
    // The number of results of a boolean index depends on the values: it is the number of true
    // elements.
    if (value.isOptionalTensorList()) {
      for (const std::optional<at::Tensor>& index : value.toOptionalTensorVector()) {
        if (index.has_value() && index->defined() && index->scalar_type() == at::kBool) {
          State::Get().Synchronises();
        }
      }
    }
  }
  for (size_t i = stack->size() - arguments; i < stack->size(); ++i) {
    (*stack)[i] = call.ToCpu((*stack)[i]);
  }
  op.callBoxed(stack);
  const size_t returns = op.schema().returns().size();
  for (size_t i = stack->size() - returns; i < stack->size(); ++i) {
    (*stack)[i] = call.ToDevice((*stack)[i]);
  }
}

at::Tensor Empty(at::IntArrayRef size, std::optional<at::ScalarType> type,
                 std::optional<at::Layout> /*layout*/, std::optional<at::Device> /*device*/,
                 std::optional<bool> /*pinned*/, std::optional<at::MemoryFormat> format) {
  return at::Tensor(at::detail::empty_generic(size, &DeviceMemory(),
                                              c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                              type.value_or(at::kFloat), format));
}

at::Tensor EmptyStrided(at::IntArrayRef size, at::IntArrayRef stride,
                        std::optional<at::ScalarType> type, std::optional<at::Layout> /*layout*/,
                        std::optional<at::Device> /*device*/, std::optional<bool> /*pinned*/) {
  return at::Tensor(at::detail::empty_strided_generic(size, stride, &DeviceMemory(),
                                                      c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                                      type.value_or(at::kFloat)));
}

at::Tensor& Copy(at::Tensor& to, const at::Tensor& from, bool non_blocking) {
  if (to.is_cpu() != from.is_cpu()) {
    State& state = State::Get();
    const void* const host = to.is_cpu() ? to.const_data_ptr() : from.const_data_ptr();
    const bool asynchronous = non_blocking && (to.numel() == 0 || state.IsPinned(host));
    if (!asynchronous) state.Synchronises();
    state.Add({to.is_cpu() ? FakeGpu::Kind::kCopyOut : FakeGpu::Kind::kCopyIn, host, 0});
  }
  OnCpu(to).copy_(OnCpu(from));
  return to;
}

at::Scalar ScalarOf(const at::Tensor& tensor) {
  State::Get().Synchronises();
  return OnCpu(tensor).item();
}

struct Registered {
  Registered() {
    c10::SetAllocator(kType, &DeviceMemory());
    at::setHostAllocator(kType, &HostMemory());
  }
} registered;

}  // namespace

FakeGpu::Counts FakeGpu::Counts::operator-(const Counts& before) const {
  return {synchronising - before.synchronising, event_waits - before.event_waits,
          pinned_requests - before.pinned_requests, pinned_allocations - before.pinned_allocations};
}

FakeGpu::Counts FakeGpu::counts() {
  State& state = State::Get();
  const std::lock_guard lock(state.mutex);
  return state.counts;
}

std::vector<FakeGpu::Entry> FakeGpu::TakeEntries() {
  State& state = State::Get();
  const std::lock_guard lock(state.mutex);
  return std::exchange(state.entries, {});
}

}  // namespace finetune

namespace at {
using FakeCudaHooks = finetune::Hooks;
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, FakeCudaHooks)
}  // namespace at

namespace c10::impl {
using FakeCudaGuard = finetune::Guard;
C10_REGISTER_GUARD_IMPL(CUDA, FakeCudaGuard)
}  // namespace c10::impl

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&finetune::RunOnCpu>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", TORCH_FN(finetune::Empty));
  library.impl("empty_strided", TORCH_FN(finetune::EmptyStrided));
  library.impl("copy_", TORCH_FN(finetune::Copy));
  library.impl("_local_scalar_dense", TORCH_FN(finetune::ScalarOf));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
}
