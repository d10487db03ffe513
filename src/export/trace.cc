// Makes the ONNX graph of a network by running it. One image passes through the network with
// LibTorch's plain operators. LibTorch calls a callback (at::RecordFunction, its profiler
// interface) for each operator, with the operator's inputs and result, and the callback appends
// the ONNX nodes. A new network therefore needs no export code of its own.
//
// A tensor is identified by the address of its TensorImpl. The tracer keeps every tensor alive, so
// that no address is used twice. After an operator that writes to its input, that tensor gets the
// name of the operator's result.
//
// There are three kinds of tensors. "Values" depend on the image. "Constants" are parameters,
// buffers, ranges of numbers (arange), and results computed from constants alone. All other tensors
// are unknown: their numbers may come from code that the callback does not see. An operator that
// reads both a value and an unknown tensor is an error.
#include "src/export/trace.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/export/operators.h"

namespace finetune {
namespace {

// Operators whose result holds the same numbers as their input, if its type is the same too.
constexpr std::array<absl::string_view, 6> kCopies = {"to",    "contiguous", "_to_copy",
                                                      "clone", "detach",     "alias"};

// Records the operators that the current thread runs while this object exists.
class Tracer {
 public:
  Tracer(const Classifier& model, const at::Tensor& images, Graph* graph) : graph_(*graph) {
    for (const NamedTensor& tensor : model.State()) {
      Name(tensor.tensor, {graph_.AddConstant(tensor.name, tensor.tensor), /*constant=*/true});
    }
    const std::string input =
        graph_.AddInput(kImages, onnx::TensorProto::FLOAT, images.sizes().slice(1).vec());
    Name(images, {input, /*constant=*/false});
    current_ = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&Begin, &End)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Tracer() {
    at::removeCallback(handle_);
    current_ = nullptr;
  }
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // Returns the name of the value that `tensor` holds. Errors: the first error that a recorded
  // operator caused; Unimplemented if `tensor` is not a value.
  absl::StatusOr<std::string> ValueOf(const at::Tensor& tensor) const {
    FT_RETURN_IF_ERROR(status_);
    const Known* const known = Find(tensor);
    if (known == nullptr || known->constant) {
      return absl::UnimplementedError(
          "the network's result does not come from an operator of LibTorch");
    }
    return known->name;
  }

 private:
  struct Known {
    std::string name;
    bool constant;
  };
  // An operator that LibTorch is running. Only operators that the network calls have one: Begin()
  // returns null for an operator that another operator calls.
  struct Running : public at::ObserverContext {
    OperatorCall call;
    bool reads_value = false, reads_constant = false, reads_other = false;
  };

  const Known* Find(const at::Tensor& tensor) const {
    const auto found = known_.find(tensor.unsafeGetTensorImpl());
    return found == known_.end() ? nullptr : &found->second;
  }

  void Name(const at::Tensor& tensor, Known known) {
    known_[tensor.unsafeGetTensorImpl()] = std::move(known);
    kept_.push_back(tensor);
  }

  static std::unique_ptr<at::ObserverContext> Begin(const at::RecordFunction& function) {
    if (current_->depth_++ > 0) return nullptr;
    auto running = std::make_unique<Running>();
    OperatorCall& call = running->call;
    absl::string_view op = function.name();
    absl::ConsumePrefix(&op, "aten::");
    call.op = std::string(op);
    for (const c10::IValue& input : function.inputs()) {
      call.inputs.push_back(input);
      std::string& value = call.values.emplace_back();
      if (input.isTensorList()) {
        for (const at::Tensor& element : input.toTensorVector()) {
          call.elements.push_back(current_->NameFor(element, running.get()));
        }
      } else if (input.isTensor() && input.toTensor().defined()) {
        value = current_->NameFor(input.toTensor(), running.get());
      }
    }
    return running;
  }

  // Returns the name of a tensor that the operator reads, and records in `running` which kind of
  // tensor it is. Returns "" for an unknown tensor.
  std::string NameFor(const at::Tensor& tensor, Running* running) const {
    const Known* const known = Find(tensor);
    running->reads_other |= known == nullptr;
    if (known == nullptr) return "";
    (known->constant ? running->reads_constant : running->reads_value) = true;
    if (known->constant) running->call.layer = LayerOf(known->name);
    return known->name;
  }

  static void End(const at::RecordFunction& function, at::ObserverContext* context) {
    --current_->depth_;
    auto* const running = static_cast<Running*>(context);
    if (running == nullptr || !current_->status_.ok()) return;
    current_->status_ = current_->Take(function.outputs(), running);
  }

  absl::Status Take(const std::vector<c10::IValue>& outputs, Running* running) {
    OperatorCall& call = running->call;
    const bool is_range = call.op == "arange";
    if (!running->reads_value && !running->reads_constant && !is_range) return absl::OkStatus();
    if (outputs.size() == 1 && outputs[0].isTensorList()) {
      for (const at::Tensor& output : outputs[0].toTensorVector()) {
        call.output = output;
        FT_RETURN_IF_ERROR(TakeResult(running));
        ++call.result;
      }
      return absl::OkStatus();
    }
    if (outputs.size() != 1 || !outputs[0].isTensor()) {
      if (!running->reads_value) return absl::OkStatus();
      return absl::UnimplementedError(absl::StrCat("the network calls LibTorch's operator ",
                                                   call.op, ", whose result is not a tensor"));
    }
    call.output = outputs[0].toTensor();
    return TakeResult(running);
  }

  // Takes the result running->call.output.
  absl::Status TakeResult(Running* running) {
    OperatorCall& call = running->call;
    if (running->reads_other) {
      if (!running->reads_value) return absl::OkStatus();
      return absl::UnimplementedError(
          absl::StrCat("the network calls LibTorch's operator ", call.op,
                       " with a tensor that is neither a value nor a constant of the graph"));
    }
    const bool copies = absl::c_linear_search(kCopies, call.op);
    if (copies && call.output.scalar_type() == call.inputs[0].toTensor().scalar_type()) {
      Name(call.output, {call.values[0], !running->reads_value});
      return absl::OkStatus();
    }
    if (!running->reads_value) {
      const std::string name = call.layer.empty() ? "constant" : call.layer + ".constant";
      Name(call.output, {graph_.AddConstant(name, call.output), /*constant=*/true});
      return absl::OkStatus();
    }
    if (call.output.scalar_type() != at::kFloat) {
      return absl::UnimplementedError(absl::StrCat("the network calls LibTorch's operator ",
                                                   call.op, ", whose result is not float32"));
    }
    if (call.op.back() == '_') call.op.pop_back();
    FT_ASSIGN_OR_RETURN(std::string value, AddCall(call, &graph_));
    Name(call.output, {std::move(value), /*constant=*/false});
    return absl::OkStatus();
  }

  static thread_local Tracer* current_;
  Graph& graph_;
  std::unordered_map<const at::TensorImpl*, Known> known_;
  std::vector<at::Tensor> kept_;
  int depth_ = 0;
  absl::Status status_;
  at::CallbackHandle handle_ = 0;
};

thread_local Tracer* Tracer::current_ = nullptr;

}  // namespace

absl::StatusOr<Graph> TraceGraph(Classifier* model, const std::vector<int64_t>& image) {
  FT_RETURN_IF_ERROR(model->CheckInput(image[0], image[1], image[2]));
  const at::NoGradGuard no_grad;
  const at::Tensor images =
      at::zeros({1, image[0], image[1], image[2]}).contiguous(at::MemoryFormat::ChannelsLast);
  Graph graph;
  std::string result;
  {
    Tracer tracer(*model, images, &graph);
    const at::Tensor logits = model->Forward(images, ForwardContext());
    FT_ASSIGN_OR_RETURN(result, tracer.ValueOf(logits));
  }
  graph.proto.set_name("classifier");
  graph.SetOutput(result, kLogits);
  MergePadding(&graph);
  FT_RETURN_IF_ERROR(CheckGraph(graph));
  return graph;
}

}  // namespace finetune
