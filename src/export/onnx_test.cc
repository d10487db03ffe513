// Runs the exported graph of every network by ONNX's definitions and compares the result with the
// network's own.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/export/interpret.h"
#include "src/export/onnx_file.h"
#include "src/export/trace.h"
#include "src/export/weight_type.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

struct Case {
  const char* name;
  const char* backbone;
  std::vector<int64_t> image;
};

std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }

// Some sides are odd, so that TensorFlow's SAME padding differs between the two ends. The narrow
// ResNets have strided 1x1 convolutions of few channels, which the model runs as a slice and a
// convolution.
const Case kCases[] = {
    {"ResNet18", "resnet { depth: 18 base_channels: 16 }", {3, 45, 40}},
    {"ResNet18Cifar", "resnet { depth: 18 base_channels: 8 stem: CIFAR }", {3, 17, 17}},
    {"ResNet50", "resnet { depth: 50 base_channels: 8 }", {3, 64, 64}},
    {"ResNet50Caffe", "resnet { depth: 50 base_channels: 8 style: CAFFE }", {3, 64, 64}},
    {"ResNeXt50",
     "resnet { depth: 50 base_channels: 16 groups: 4 width_per_group: 16 }",
     {3, 64, 64}},
    {"SeResNet50D",
     "resnet { depth: 50 base_channels: 8 stem: DEEP avg_down: true se_ratio: 16 }",
     {3, 75, 64}},
    {"RegNetY400MF", "regnet { variant: Y_400MF }", {3, 65, 50}},
    {"Vgg11", "vgg { depth: 11 hidden_features: 8 }", {3, 70, 40}},
    {"Vgg11Pooled", "vgg { depth: 11 hidden_features: 0 }", {3, 37, 32}},
    {"DenseNet121", "densenet {}", {3, 65, 50}},
    {"EfficientNetLite0", "efficientnet_lite {}", {3, 65, 50}},
    {"EfficientNetV2B0", "efficientnet_v2 { variant: BASE_0 }", {3, 65, 50}},
    {"MobileNetV2", "mobilenet_v2 { width: 0.25 }", {3, 65, 50}},
    {"ConvNeXtAtto", "convnext { variant: ATTO }", {3, 45, 50}},
    {"ConvNeXtV2Atto", "convnext { variant: ATTO version: V2 }", {3, 45, 50}},
    {"Vit", "vit { width: 32 depth: 2 heads: 4 patch_size: 8 image_size: 32 }", {3, 32, 32}},
    {"VitOfDinoV2",
     "vit { width: 32 depth: 2 heads: 4 patch_size: 8 image_size: 32 layer_scale: 1 registers: 2 "
     "pooling: MEAN qkv_bias: false }",
     {3, 32, 32}},
    {"Swin", "swin { width: 32 window_size: 3 }", {3, 44, 64}},
    {"LeNet5", "lenet5 {}", {1, 32, 32}},
};

class OnnxTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& one = GetParam();
    model_ = MakeModel(absl::StrCat("backbone { ", one.backbone, " } head { num_classes: 5 }"),
                       EngineOptions(/*fused=*/false));
    ASSERT_NE(model_, nullptr);
    absl::StatusOr<Graph> graph = TraceGraph(model_.get(), one.image);
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
  }

  onnx::ModelProto Make(const OnnxOptions& options, const Normalize& normalize = {}) const {
    const absl::StatusOr<onnx::ModelProto> model =
        MakeOnnxModel(graph_, options, normalize, {{"class_names", "[]"}});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.value_or(onnx::ModelProto());
  }

  at::Tensor Images(int64_t n) const {
    const std::vector<int64_t>& image = GetParam().image;
    return at::randn({n, image[0], image[1], image[2]});
  }

  at::Tensor Logits(const at::Tensor& images) {
    const at::NoGradGuard no_grad;
    return model_->Forward(images, kEvaluation);
  }

  static void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
    ASSERT_EQ(actual.sizes(), expected.sizes());
    const double error = ((actual - expected).norm() / expected.norm()).item<double>();
    EXPECT_LT(error, tolerance);
  }

  std::unique_ptr<Classifier> model_;
  Graph graph_;
};

TEST_P(OnnxTest, GivesTheModelsLogitsForAnyBatch) {
  const onnx::ModelProto model = Make({});
  for (const int64_t n : {1, 3}) {
    const at::Tensor images = Images(n);
    ExpectNear(Interpret(model, images), Logits(images), 1e-5);
  }
}

// Where something else reads the convolution's result too, as in DenseNet, the batch norm stays.
TEST_P(OnnxTest, FoldsEveryBatchNormThatAloneReadsAConvolution) {
  const onnx::ModelProto model = Make({.fold_batch_norm = true});
  std::map<std::string, int> readers;
  std::set<std::string> convolved;
  for (const onnx::NodeProto& node : model.graph().node()) {
    for (const std::string& input : node.input()) ++readers[input];
    if (node.op_type() == "Conv") convolved.insert(node.output(0));
  }
  for (const onnx::NodeProto& node : model.graph().node()) {
    if (node.op_type() != "BatchNormalization") continue;
    EXPECT_FALSE(convolved.contains(node.input(0)) && readers[node.input(0)] == 1) << node.name();
  }
  const at::Tensor images = Images(2);
  ExpectNear(Interpret(model, images), Logits(images), 1e-5);
}

TEST_P(OnnxTest, NamesAreUniqueAndEveryValueHasTheShapeThatItIsComputedWith) {
  const onnx::ModelProto model = Make({});
  const onnx::GraphProto& graph = model.graph();
  std::set<std::string> nodes, values = {graph.input(0).name()};
  for (const onnx::TensorProto& constant : graph.initializer()) {
    EXPECT_TRUE(values.insert(constant.name()).second) << constant.name();
  }
  for (const onnx::NodeProto& node : graph.node()) {
    EXPECT_TRUE(nodes.insert(node.name()).second) << node.name();
    for (const std::string& input : node.input()) {
      EXPECT_TRUE(input.empty() || values.contains(input)) << node.name() << " reads " << input;
    }
    EXPECT_TRUE(values.insert(node.output(0)).second) << node.output(0);
  }
  EXPECT_EQ(graph.output(0).name(), "logits");
  EXPECT_TRUE(values.contains("logits"));
  // value_info lists every node output except the graph's output, with its shape.
  EXPECT_EQ(graph.value_info_size(), graph.node_size() - 1);
  const auto computed = InterpretAll(model, Images(2));
  for (const onnx::ValueInfoProto& value : graph.value_info()) {
    const auto& shape = value.type().tensor_type().shape();
    EXPECT_EQ(shape.dim(0).dim_param(), "N");
    const at::Tensor& actual = computed.at(value.name());
    ASSERT_EQ(actual.dim(), shape.dim_size()) << value.name();
    for (int i = 1; i < actual.dim(); ++i) EXPECT_EQ(actual.size(i), shape.dim(i).dim_value());
  }
}

TEST_P(OnnxTest, NormalizesBytesInEitherLayout) {
  NormalizeConfig config;
  const auto channels = static_cast<int>(GetParam().image[0]);
  for (int c = 0; c < channels; ++c) {
    config.add_mean(100 + c);
    config.add_std(50 + c);
  }
  ProblemList problems;
  const std::optional<Normalize> normalize =
      Normalize::Create(config, channels, nullptr, Problems(&problems));
  ASSERT_TRUE(normalize.has_value());
  const std::vector<int64_t>& image = GetParam().image;
  const at::Tensor pixels = at::randint(256, {2, image[0], image[1], image[2]}, at::kByte);
  const at::Tensor mean = at::tensor(normalize->statistics().mean, at::kFloat).view({-1, 1, 1});
  const at::Tensor std = at::tensor(normalize->statistics().std, at::kFloat).view({-1, 1, 1});
  const at::Tensor expected = Logits((pixels.to(at::kFloat) - mean) / std);
  ExpectNear(Interpret(Make({.input = OnnxInput::kNchw}, *normalize), pixels), expected, 1e-5);
  const onnx::ModelProto nhwc = Make({.input = OnnxInput::kNhwc, .softmax = true}, *normalize);
  EXPECT_EQ(nhwc.graph().output(0).name(), "probabilities");
  ExpectNear(Interpret(nhwc, pixels.permute({0, 2, 3, 1}).contiguous()), expected.softmax(1), 1e-5);
}

TEST_P(OnnxTest, HalfWeightsTakeHalfTheBytes) {
  const at::Tensor images = Images(2), expected = Logits(images);
  const onnx::ModelProto whole = Make({.fold_batch_norm = true});
  const onnx::ModelProto half = Make({.fold_batch_norm = true, .weights = at::kHalf});
  EXPECT_LT(static_cast<double>(half.ByteSizeLong()),
            0.65 * static_cast<double>(whole.ByteSizeLong()));
  ExpectNear(Interpret(half, images), expected, 5e-3);
  const onnx::ModelProto bfloat16 = Make({.weights = at::kBFloat16});
  ExpectNear(Interpret(bfloat16, images), expected, 5e-2);
}

INSTANTIATE_TEST_SUITE_P(Networks, OnnxTest, ::testing::ValuesIn(kCases),
                         [](const auto& one) { return one.param.name; });

TEST(TraceGraph, NamesNodesByTheirLayers) {
  const auto model = MakeModel(
      "backbone { resnet { depth: 18 base_channels: 16 } } head { "
      "num_classes: 5 }",
      EngineOptions(/*fused=*/false));
  const absl::StatusOr<Graph> graph = TraceGraph(model.get(), {3, 32, 32});
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<std::string> names;
  for (const onnx::NodeProto& node : graph->proto.node()) names.push_back(node.name());
  EXPECT_THAT(names, Contains("backbone.layer3.0.downsample.0"));
  EXPECT_THAT(names, Contains("head.fc"));
  EXPECT_TRUE(graph->constants.contains("backbone.layer4.1.bn2.running_var"));
}

TEST(TraceGraph, RefusesFusedEnginesOperators) {
  const auto model = MakeModel("backbone { resnet { depth: 18 } } head { num_classes: 5 }",
                               EngineOptions(/*fused=*/true));
  EXPECT_TRUE(absl::IsUnimplemented(TraceGraph(model.get(), {3, 64, 64}).status()));
}

TEST(TraceGraph, RefusesImagesThatTheModelDoesNotTake) {
  const auto model = MakeModel("backbone { resnet { depth: 18 } } head { num_classes: 5 }",
                               EngineOptions(/*fused=*/false));
  EXPECT_THAT(TraceGraph(model.get(), {1, 64, 64}).status().message(),
              HasSubstr("found images with 1 channel"));
}

TEST(AsWeightType, RefusesValuesBeyondFloat16) {
  const at::Tensor weight = at::tensor({1.0F, 1e5F}).view({1, 2});
  EXPECT_THAT(AsWeightType("fc.weight", weight, at::kHalf).status().message(),
              HasSubstr("fc.weight: has values beyond 65504, which float16 cannot hold"));
  EXPECT_TRUE(AsWeightType("fc.weight", weight, at::kBFloat16).ok());
  EXPECT_EQ(AsWeightType("bn.running_var", weight.view({2}), at::kHalf)->scalar_type(), at::kFloat);
}

TEST(AsWeightType, RefusesFiniteValuesBeyondBfloat16) {
  const at::Tensor weight = at::full({1, 2}, std::numeric_limits<float>::max());
  EXPECT_THAT(AsWeightType("fc.weight", weight, at::kBFloat16).status().message(),
              HasSubstr("beyond 3.39e38, which bfloat16 cannot hold; export it as float32"));
  EXPECT_TRUE(AsWeightType("fc.weight", weight, at::kFloat).ok());
}

TEST(AsWeightType, NamesInfinitiesAndNansAsSuch) {
  for (const float value :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
      const absl::Status status =
          AsWeightType("fc.weight", at::tensor({1.0F, value}).view({1, 2}), type).status();
      EXPECT_TRUE(absl::IsDataLoss(status)) << status;
      EXPECT_THAT(status.message(), HasSubstr("fc.weight: has values that are not finite (NaN or "
                                              "infinity)"));
    }
  }
}

}  // namespace
}  // namespace finetune
