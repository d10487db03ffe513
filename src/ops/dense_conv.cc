// Problem: layer i of a DenseNet block convolves the results of all layers before it, after a batch
// norm and a ReLU. If autograd kept the concatenated maps and the batch norm's result of each
// layer, the memory for training would be quadratic in the number of layers.
//
// Method: keep only the maps and the statistics of each channel, and concatenate and normalise
// again in the backward pass (Pleiss et al. 2017, "Memory-Efficient Implementation of DenseNets").
// Unlike there, the backward pass does not compute the statistics and the convolution again.
//
// Invariants: those of batch_norm.cc for sums over ranks and running statistics. The maps must not
// be changed in place.
//
// Reference: cat, BatchNormAct() and TrainedConv(), by dense_conv_test.cc.
#include "src/ops/dense_conv.h"

#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "src/ops/batch_norm_kernels.h"
#include "src/ops/batch_norm_steps.h"
#include "src/ops/conv.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor Join(at::TensorList maps) {
  const at::Tensor joined = maps.size() == 1 ? maps[0] : at::cat(maps, 1);
  return joined.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor NormRelu(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) {
  return ScaleShiftAddAct(x, scale, shift, /*residual=*/{}, Activation::kRelu);
}

struct DenseConvFunction : torch::autograd::Function<DenseConvFunction> {
  // The number of tensors that are saved besides the maps.
  static constexpr size_t kOthers = 6;

  static at::Tensor forward(AutogradContext* context, at::TensorList maps, const at::Tensor& gamma,
                            const at::Tensor& beta, const at::Tensor& running_mean,
                            const at::Tensor& running_var, const at::Tensor& weight, bool training,
                            const c10::intrusive_ptr<SumHolder>& holder, double epsilon,
                            double momentum) {
    const at::Tensor x = Join(maps);
    const NormStatistics statistics =
        FindStatistics(x, running_mean, running_var, training, holder->sum, momentum);
    const auto [scale, shift] = ScaleShiftOf(statistics.channels, gamma, beta, epsilon);

    const auto& [mean, var] = statistics.channels;
    variable_list saved = {gamma, mean, var, scale, shift, weight};
    saved.insert(saved.end(), maps.begin(), maps.end());
    context->save_for_backward(saved);
    context->saved_data["count"] = statistics.count;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["training"] = training;
    context->saved_data["sum"] = c10::IValue::make_capsule(holder);
    return ForwardOfConv(NormRelu(x, scale, shift), weight, /*stride=*/1, /*padding=*/0);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &gamma = saved[0], &mean = saved[1], &var = saved[2], &scale = saved[3],
                     &shift = saved[4], &weight = saved[5];
    const at::TensorList maps = at::TensorList(saved).slice(kOthers);
    const at::Tensor x = Join(maps);
    const at::Tensor y = NormRelu(x, scale, shift);
    // The inputs are the maps, gamma, beta, two running statistics and the weight.
    bool wants_dx = false;
    for (size_t i = 0; i < maps.size(); ++i) wants_dx |= context->needs_input_grad(i);
    const auto [dy, dweight] =
        BackwardOfConv(gradients[0], y, weight, /*stride=*/1, /*padding=*/0, /*wants_dx=*/true,
                       context->needs_input_grad(maps.size() + 4));
    const c10::intrusive_ptr<torch::CustomClassHolder> holder =
        context->saved_data["sum"].toCapsule();
    const NormGradients of = BackwardOfNorm(
        dy.contiguous(at::MemoryFormat::ChannelsLast), {Activation::kRelu, y}, x, gamma,
        {{mean, var}, context->saved_data["count"].toDouble()},
        context->saved_data["epsilon"].toDouble(), context->saved_data["training"].toBool(),
        static_cast<const SumHolder*>(holder.get())->sum, wants_dx, /*write_g=*/{});

    variable_list results;
    int64_t begin = 0;
    for (const at::Tensor& map : maps) {
      const int64_t channels = map.size(1);
      results.push_back(of.dx.defined() ? of.dx.narrow(1, begin, channels) : at::Tensor());
      begin += channels;
    }
    results.insert(results.end(), {of.dgamma,
                                   of.dbeta,
                                   {},
                                   {},
                                   dweight,
                                   /*training=*/{},
                                   /*holder=*/{},
                                   /*epsilon=*/{},
                                   /*momentum=*/{}});
    return results;
  }
};

}  // namespace

at::Tensor DenseConv(at::TensorList maps, const at::Tensor& gamma, const at::Tensor& beta,
                     const at::Tensor& running_mean, const at::Tensor& running_var,
                     const at::Tensor& weight, bool training, const SumOverRanks& sum_over_ranks,
                     const BatchNormSettings& settings) {
  return DenseConvFunction::apply(maps, gamma, beta, running_mean, running_var, weight, training,
                                  c10::make_intrusive<SumHolder>(sum_over_ranks), settings.epsilon,
                                  settings.momentum);
}

}  // namespace finetune
