#ifndef FINETUNE_TENSOR_LIBTORCH_BRIDGE_H_
#define FINETUNE_TENSOR_LIBTORCH_BRIDGE_H_

// Hides the differences between LibTorch 2.15 and 2.11; no other file depends on the version.
// finetune is written for 2.15. With this header it also builds against the LibTorch inside PyTorch
// 2.11, so a machine with that PyTorch needs no second LibTorch (tools/gpu).
//
// LibTorch 2.15 has, and 2.11 lacks:
//   torch/csrc/autograd/node.h       2.11 has the same class in function.h
//   ATen/core/GraphImplInterface.h   one interface to record graphs on any device; 2.11 records
//                                    only on CUDA, by at::cuda::CUDAGraph
// Autograd's graph holds its nodes by c10::intrusive_ptr in 2.15 and by std::shared_ptr in 2.11.

#if __has_include(<ATen/core/GraphImplInterface.h>)

#include <ATen/core/GraphImplInterface.h>  // IWYU pragma: export
#include <torch/csrc/autograd/node.h>      // IWYU pragma: export

namespace finetune {
using NodePointer = c10::intrusive_ptr<torch::autograd::Node>;
}  // namespace finetune

#else

#include <c10/core/Allocator.h>
#include <c10/core/DeviceType.h>
#include <c10/util/Registry.h>
#include <torch/csrc/autograd/function.h>  // IWYU pragma: export

#include <cstdint>
#include <memory>
#include <string>

#ifdef FINETUNE_BRIDGES_CUDA
#include <ATen/cuda/CUDAGraph.h>
#endif

namespace finetune {
using NodePointer = std::shared_ptr<torch::autograd::Node>;
}  // namespace finetune

// The declarations below have the namespace and names of LibTorch 2.15, so that calling code is the
// same for both versions.
namespace at {

enum class GraphCaptureMode : int8_t { Default, Global, ThreadLocal, Relaxed };

struct GraphImplArgs {
  bool keep_graph = false;
};

struct GraphImplInterface {
  virtual ~GraphImplInterface() = default;
  virtual void capture_begin(MempoolId_t pool, GraphCaptureMode mode) = 0;
  virtual void capture_end() = 0;
  virtual void instantiate() = 0;
  virtual void replay() = 0;
  virtual void reset() = 0;
  virtual MempoolId_t pool() const = 0;
  virtual void enable_debug_mode() = 0;
  virtual void debug_dump(const std::string& path) = 0;
};

using GraphImpls =
    c10::Registry<std::string, std::unique_ptr<GraphImplInterface>, const GraphImplArgs&>;

#ifdef FINETUNE_BRIDGES_CUDA

class CudaGraphImpl : public GraphImplInterface {
 public:
  explicit CudaGraphImpl(const GraphImplArgs& args) : graph_(args.keep_graph) {}
  void capture_begin(MempoolId_t pool, GraphCaptureMode mode) override {
    graph_.capture_begin(pool, mode == GraphCaptureMode::ThreadLocal
                                   ? cudaStreamCaptureModeThreadLocal
                               : mode == GraphCaptureMode::Relaxed ? cudaStreamCaptureModeRelaxed
                                                                   : cudaStreamCaptureModeGlobal);
  }
  void capture_end() override { graph_.capture_end(); }
  void instantiate() override { graph_.instantiate(); }
  void replay() override { graph_.replay(); }
  void reset() override { graph_.reset(); }
  MempoolId_t pool() const override { return const_cast<cuda::CUDAGraph&>(graph_).pool(); }
  void enable_debug_mode() override { graph_.enable_debug_mode(); }
  void debug_dump(const std::string& path) override { graph_.debug_dump(path); }

 private:
  cuda::CUDAGraph graph_;
};

#endif

// Returns the registry of graph classes. Its key is the device's name as DeviceTypeName() returns
// it, such as "CUDA".
inline GraphImpls* GraphImplRegistry() {
  static GraphImpls* const impls = [] {
    auto* made = new GraphImpls(/*warning=*/false);
#ifdef FINETUNE_BRIDGES_CUDA
    made->Register("CUDA", [](const GraphImplArgs& args) -> std::unique_ptr<GraphImplInterface> {
      return std::make_unique<CudaGraphImpl>(args);
    });
#endif
    return made;
  }();
  return impls;
}

#define REGISTER_GRAPH_IMPL(key, impl)                                                       \
  static const bool key##_graph_impl_is_registered = [] {                                    \
    at::GraphImplRegistry()->Register(                                                       \
        #key, [](const at::GraphImplArgs& args) -> std::unique_ptr<at::GraphImplInterface> { \
          return std::make_unique<impl>(args);                                               \
        });                                                                                  \
    return true;                                                                             \
  }();

inline bool has_graph_impl(c10::DeviceType type) {
  return GraphImplRegistry()->Has(c10::DeviceTypeName(type, /*lower_case=*/false));
}

inline std::unique_ptr<GraphImplInterface> create_graph_impl(c10::DeviceType type,
                                                             const GraphImplArgs& args = {}) {
  return GraphImplRegistry()->Create(c10::DeviceTypeName(type, /*lower_case=*/false), args);
}

}  // namespace at

#endif

#endif  // FINETUNE_TENSOR_LIBTORCH_BRIDGE_H_
