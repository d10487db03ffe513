#include "src/ops/onednn_conv.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace finetune {
namespace {

using Operator = std::optional<c10::OperatorHandle>;

Operator Find(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchema({name, overload});
}

struct Operators {
  Operator pack = Find("mkldnn::_reorder_convolution_weight", "");
  Operator conv = Find("mkldnn::_convolution_pointwise", "");
  Operator conv_add = Find("mkldnn::_convolution_pointwise_", "binary");
  Operator has_bfloat16 = Find("mkldnn::_is_mkldnn_bf16_supported", "");

  bool all() const { return pack.has_value() && conv.has_value() && conv_add.has_value(); }
};

const Operators& Ops() {
  static const Operators operators;
  return operators;
}

c10::IValue Call(const Operator& op, std::vector<c10::IValue> arguments) {
  op->callBoxed(&arguments);
  return std::move(arguments.front());
}

std::vector<int64_t> Both(int64_t value) { return {value, value}; }

c10::List<std::optional<at::Scalar>> NoScalars() { return c10::List<std::optional<at::Scalar>>(); }

}  // namespace

bool OneDnnHasBfloat16() {
  static const bool has = Ops().has_bfloat16.has_value() && Call(Ops().has_bfloat16, {}).toBool();
  return has;
}

bool OneDnnConvRuns(const at::Tensor& x) {
  return x.is_cpu() && at::globalContext().userEnabledMkldnn() && Ops().all() &&
         (x.scalar_type() == at::kFloat ||
          (x.scalar_type() == at::kBFloat16 && OneDnnHasBfloat16()));
}

OneDnnWeight PackConvWeight(const at::Tensor& weight, const at::Tensor& x, int64_t stride,
                            int64_t padding) {
  return {
      Call(Ops().pack, {weight, Both(padding), Both(stride), Both(1), int64_t{1}, x.sizes().vec()})
          .toTensor()};
}

at::Tensor OneDnnConv(const at::Tensor& x, const OneDnnWeight& weight, const at::Tensor& bias,
                      int64_t stride, int64_t padding) {
  return Call(Ops().conv, {x, weight.packed, bias, Both(padding), Both(stride), Both(1), int64_t{1},
                           std::string("none"), NoScalars(), std::string()})
      .toTensor();
}

at::Tensor OneDnnConvAdd(const at::Tensor& x, const OneDnnWeight& weight, const at::Tensor& bias,
                         int64_t stride, int64_t padding, const at::Tensor& sum) {
  return Call(Ops().conv_add,
              {sum, x, weight.packed, bias, Both(padding), Both(stride), Both(1), int64_t{1},
               std::string("add"), at::Scalar(1.0), c10::IValue(), NoScalars(), c10::IValue()})
      .toTensor();
}

}  // namespace finetune
