// Measures ResNet-50's convolutions without the other layers: the times that a training step and an
// evaluation would take if all else were free. Runs finetune's own convolutions, or all of them by
// oneDNN.
//
//   conv_alone [--engine=finetune|onednn] [--batch=32] [--threads=2] [--precision=bf16]
//              [--frozen_stages=2] [--json=FILE]
//
// Runs each layer in turn, in --sweeps passes over the network, and takes each layer's median. The
// memory of an output is used again for the next layer, so the times do not include page faults.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/atomic_file.h"
#include "src/base/median.h"
#include "src/model/layers.h"
#include "src/ops/conv.h"
#include "src/ops/onednn_conv.h"
#include "src/tensor/large_tensor_memory.h"

namespace finetune {
namespace {

struct Flags {
  int64_t batch = 32;
  int64_t size = 224;
  int threads = 2;
  int sweeps = 7;
  int frozen_stages = 2;
  std::string engine = "finetune";
  std::string precision = "bf16";
  std::string json;
};

// kForward: the forward pass in evaluation and of frozen layers, whose weights stay packed.
// kTrainedForward: the forward pass in training, which packs the weight again because it has just
// changed.
enum Pass { kForward, kTrainedForward, kBackwardData, kBackwardWeights, kPasses };
constexpr const char* kPassNames[kPasses] = {"forward", "trained_forward", "backward_data",
                                             "backward_weights"};

// One convolution. In training, a frozen one has no backward pass, and the first trained one
// computes no gradient of its input.
struct Layer {
  std::string name;
  int64_t in, out, kernel, stride, size;  // size: the side of the square input
  bool trained = false, input_trained = false;
  std::vector<double> seconds[kPasses] = {};

  int64_t padding() const { return kernel / 2; }
  int64_t out_size() const { return (size + 2 * padding() - kernel) / stride + 1; }
  bool Runs(Pass pass) const {
    if (pass == kBackwardData) return input_trained;
    return pass == kForward || trained;
  }
  double Flop(int64_t batch) const {
    return 2.0 * static_cast<double>(batch * out_size() * out_size() * out * in * kernel * kernel);
  }
};

// The layers in the order in which the model runs them.
std::vector<Layer> ResNet50(int64_t size, int frozen_stages) {
  std::vector<Layer> layers;
  const auto add = [&](std::string name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                       int64_t at, int stage, bool first) {
    Layer layer{.name = std::move(name),
                .in = in,
                .out = out,
                .kernel = kernel,
                .stride = stride,
                .size = at};
    layer.trained = stage > frozen_stages;
    layer.input_trained = layer.trained && stage > 0 && !(first && stage - 1 <= frozen_stages);
    layers.push_back(std::move(layer));
    return layers.back().out_size();
  };
  size = add("conv1", 3, 64, 7, 2, size, /*stage=*/0, /*first=*/true);
  size = (size - 1) / 2 + 1;  // the max pooling
  int64_t in = 64;
  constexpr int kBlocks[] = {3, 4, 6, 3};
  for (int stage = 1; stage <= 4; ++stage) {
    const int64_t width = int64_t{64} << (stage - 1);
    for (int block = 0; block < kBlocks[stage - 1]; ++block) {
      const bool first = block == 0;
      const int64_t stride = first && stage > 1 ? 2 : 1;
      const std::string name = absl::StrCat("layer", stage, ".", block, ".");
      add(name + "conv1", in, width, 1, 1, size, stage, first);
      const int64_t next = add(name + "conv2", width, width, 3, stride, size, stage, false);
      if (first) add(name + "downsample", in, 4 * width, 1, stride, size, stage, true);
      add(name + "conv3", width, 4 * width, 1, 1, next, stage, false);
      size = next;
      in = 4 * width;
    }
  }
  return layers;
}

double Timed(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The passes of one layer, on a given input and a given gradient of its output.
class Convolution {
 public:
  virtual ~Convolution() = default;
  virtual void Run(Pass pass) = 0;
};

at::Tensor RandomWeight(const Layer& layer) {
  return at::randn({layer.out, layer.in, layer.kernel, layer.kernel})
      .contiguous(at::MemoryFormat::ChannelsLast);
}

class OneDnn final : public Convolution {
 public:
  OneDnn(const Layer& layer, at::Tensor x, at::Tensor dy)
      : layer_(layer),
        x_(std::move(x)),
        dy_(std::move(dy)),
        weight_(RandomWeight(layer).to(x_.scalar_type())),
        packed_(PackConvWeight(weight_, x_, layer.stride, layer.padding())),
        bias_(at::zeros({layer.out}, x_.options())) {}

  void Run(Pass pass) override {
    if (pass == kForward || pass == kTrainedForward) {
      OneDnnConv(x_, packed_, bias_, layer_.stride, layer_.padding());
      return;
    }
    at::convolution_backward(dy_, x_, weight_, at::OptionalIntArrayRef(),
                             {layer_.stride, layer_.stride}, {layer_.padding(), layer_.padding()},
                             {1, 1}, /*transposed=*/false, {0, 0}, /*groups=*/1,
                             {pass == kBackwardData, pass == kBackwardWeights, false});
  }

 private:
  const Layer& layer_;
  const at::Tensor x_, dy_, weight_;
  const OneDnnWeight packed_;
  const at::Tensor bias_;
};

class Finetune final : public Convolution {
 public:
  Finetune(const Layer& layer, at::Tensor x, at::Tensor dy)
      : layer_(layer), x_(std::move(x)), dy_(std::move(dy)) {
    const at::Tensor ones = at::ones({layer.out}), zeros = at::zeros({layer.out});
    frozen_.conv = {
        .weight = RandomWeight(layer), .stride = layer.stride, .padding = layer.padding()};
    frozen_.norm = {.gamma = ones,
                    .beta = zeros,
                    .running_mean = zeros,
                    .running_var = ones,
                    .num_batches_tracked = {}};
    const at::AutoGradMode gradients(true);
    input_ = x_.detach().requires_grad_(layer.input_trained);
    weight_ = frozen_.conv.weight.detach().requires_grad_(layer.trained);
    if (layer.input_trained) of_input_ = Trained(input_, weight_.detach());
    if (layer.trained) of_weight_ = Trained(x_, weight_);
  }

  void Run(Pass pass) override {
    switch (pass) {
      case kForward:
        ConvBnAct(x_, frozen_, {}, Activation::kNone,
                  {.mode = mode_, .trained = false, .batch_statistics = false});
        break;
      case kTrainedForward:
        Trained(x_, weight_);
        break;
      case kBackwardData:
        input_.mutable_grad().reset();
        of_input_.backward(dy_, /*retain_graph=*/true);
        break;
      default:
        weight_.mutable_grad().reset();
        of_weight_.backward(dy_, /*retain_graph=*/true);
    }
  }

 private:
  at::Tensor Trained(const at::Tensor& x, const at::Tensor& weight) const {
    return TrainedConv(x, weight, layer_.stride, layer_.padding());
  }

  const Layer& layer_;
  const at::Tensor x_, dy_;
  const ForwardMode mode_;
  ConvBn frozen_;
  at::Tensor input_, weight_, of_input_, of_weight_;
};

void Measure(const Flags& flags, std::vector<Layer>& layers) {
  const at::NoGradGuard no_grad;
  const auto type = flags.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  const auto options = at::TensorOptions(type);
  // Feature maps by shape. Layers share them, as inputs and as gradients of outputs.
  std::map<std::pair<int64_t, int64_t>, at::Tensor> maps;
  const auto map = [&](int64_t channels, int64_t size) {
    at::Tensor& tensor = maps[{channels, size}];
    if (!tensor.defined()) {
      tensor = at::randn({flags.batch, channels, size, size}, options)
                   .contiguous(at::MemoryFormat::ChannelsLast);
    }
    return tensor;
  };
  std::vector<std::unique_ptr<Convolution>> convolutions;
  for (const Layer& layer : layers) {
    const at::Tensor x = map(layer.in, layer.size), dy = map(layer.out, layer.out_size());
    if (flags.engine == "onednn") {
      convolutions.push_back(std::make_unique<OneDnn>(layer, x, dy));
    } else {
      convolutions.push_back(std::make_unique<Finetune>(layer, x, dy));
    }
  }
  for (int sweep = -1; sweep < flags.sweeps; ++sweep) {
    const auto one = [&](size_t i, Pass pass) {
      if (!layers[i].Runs(pass)) return;
      const double seconds = Timed([&] { convolutions[i]->Run(pass); });
      if (sweep >= 0) layers[i].seconds[pass].push_back(seconds);
    };
    for (size_t i = 0; i < layers.size(); ++i) {
      one(i, kForward);
      one(i, kTrainedForward);
    }
    for (size_t i = layers.size(); i-- > 0;) {
      one(i, kBackwardData);
      one(i, kBackwardWeights);
    }
  }
}

// The sums over all layers of one shape.
struct Row {
  std::string name;
  int count = 0;
  double flop = 0;  // for one pass of all these layers
  double seconds[kPasses] = {};
  int runs[kPasses] = {};
};

std::vector<Row> Group(const Flags& flags, const std::vector<Layer>& layers) {
  std::vector<Row> rows;
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>, size_t> place;
  for (const Layer& layer : layers) {
    const auto [found, fresh] = place.try_emplace(
        {layer.in, layer.out, layer.kernel, layer.stride, layer.size}, rows.size());
    if (fresh) {
      rows.emplace_back().name =
          absl::StrFormat("%-19s %4d->%-4d %dx%d/%d at %d", layer.name, layer.in, layer.out,
                          layer.kernel, layer.kernel, layer.stride, layer.size);
    }
    Row& row = rows[found->second];
    ++row.count;
    row.flop += layer.Flop(flags.batch);
    for (int pass = 0; pass < kPasses; ++pass) {
      if (layer.seconds[pass].empty()) continue;
      row.seconds[pass] += Median(layer.seconds[pass]);
      ++row.runs[pass];
    }
  }
  return rows;
}

void Print(const Flags& flags, const std::vector<Layer>& layers) {
  std::printf("%-48s %2s %20s %20s %20s %20s\n", "", "n", "forward", "forward, trained",
              "backward data", "backward weights");
  Row total;
  double flop[kPasses] = {};
  const auto print = [](const char* name, int count, const double* seconds, const double* work) {
    std::printf("%-48s %2d", name, count);
    for (int pass = 0; pass < kPasses; ++pass) {
      if (seconds[pass] > 0) {
        std::printf(" %8.2f ms %5.0f GF/s", seconds[pass] * 1e3, work[pass] / seconds[pass] / 1e9);
      } else {
        std::printf(" %20s", "-");
      }
    }
    std::printf("\n");
  };
  for (const Row& row : Group(flags, layers)) {
    double work[kPasses];
    for (int pass = 0; pass < kPasses; ++pass) {
      work[pass] = row.flop * row.runs[pass] / row.count;
      flop[pass] += work[pass];
      total.seconds[pass] += row.seconds[pass];
    }
    total.count += row.count;
    print(row.name.c_str(), row.count, row.seconds, work);
  }
  print("all", total.count, total.seconds, flop);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(
      "ResNet-50's convolutions back to back: the images a second that they alone would allow.",
      "conv_alone");
  app.add_option("--batch", flags.batch, "Images (default 32)")->check(CLI::Range(1, 4096));
  app.add_option("--size", flags.size, "Their side (default 224)")->check(CLI::Range(32, 1024));
  app.add_option("--threads", flags.threads, "(default 2)")->check(CLI::Range(1, 1024));
  app.add_option("--sweeps", flags.sweeps, "Passes over the network (default 7)")
      ->check(CLI::Range(1, 1000));
  app.add_option("--frozen_stages", flags.frozen_stages, "As in a config (default 2)")
      ->check(CLI::Range(-1, 4));
  app.add_option("--engine", flags.engine, "finetune or onednn (default finetune)")
      ->check(CLI::IsMember({"finetune", "onednn"}));
  app.add_option("--precision", flags.precision, "bf16 or fp32 (default bf16)")
      ->check(CLI::IsMember({"bf16", "fp32"}));
  app.add_option("--json", flags.json, "Also write the figures here");
  CLI11_PARSE(app, argc, argv);

  UseLargeTensorMemory();
  at::set_num_threads(flags.threads);
  if (!OneDnnConvRuns(at::zeros({1}, flags.precision == "bf16" ? at::kBFloat16 : at::kFloat))) {
    std::fprintf(stderr, "oneDNN does not run %s convolutions on this processor\n",
                 flags.precision.c_str());
    return 1;
  }
  std::vector<Layer> layers = ResNet50(flags.size, flags.frozen_stages);
  Measure(flags, layers);
  Print(flags, layers);

  double evaluation = 0, training = 0;
  nlohmann::json rows = nlohmann::json::array();
  for (const Layer& layer : layers) {
    nlohmann::json row = {{"name", layer.name}, {"gflop", layer.Flop(flags.batch) / 1e9}};
    for (int pass = 0; pass < kPasses; ++pass) {
      const double seconds = Median(layer.seconds[pass]);
      if (seconds > 0) row[kPassNames[pass]] = seconds;
      // In training, a trained layer runs kTrainedForward instead of kForward.
      if (pass != kForward || !layer.trained) training += seconds;
      if (pass == kForward) evaluation += seconds;
    }
    rows.push_back(std::move(row));
  }
  const auto batch = static_cast<double>(flags.batch);
  std::printf(
      "%s, batch %d, %d threads: the convolutions alone would allow %.1f images/s in training "
      "with frozen_stages %d and %.1f in evaluation\n",
      flags.precision.c_str(), static_cast<int>(flags.batch), flags.threads, batch / training,
      flags.frozen_stages, batch / evaluation);
  if (flags.json.empty()) return 0;
  const nlohmann::json result = {{"precision", flags.precision},
                                 {"engine", flags.engine},
                                 {"batch", flags.batch},
                                 {"threads", flags.threads},
                                 {"frozen_stages", flags.frozen_stages},
                                 {"train_images_per_s", batch / training},
                                 {"eval_images_per_s", batch / evaluation},
                                 {"layers", rows}};
  const absl::Status written = WriteFileAtomically(flags.json, result.dump(1) + "\n");
  if (!written.ok()) std::fprintf(stderr, "%s\n", std::string(written.message()).c_str());
  return written.ok() ? 0 : 1;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
