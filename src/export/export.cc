#include "src/export/export.h"

#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/output_file.h"
#include "src/base/sha256.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/own_metadata.h"
#include "src/checkpoint/safetensors_writer.h"
#include "src/checkpoint/value.h"
#include "src/checkpoint/writer.h"
#include "src/comm/single_communicator.h"
#include "src/config/print.h"
#include "src/export/trace.h"
#include "src/export/weight_type.h"
#include "src/train/data_identity.h"
#include "src/train/setup.h"
#include "src/train/torch_error.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<ExportFormat, const char*>, 3> kFormats = {{
    {ExportFormat::kOnnx, "onnx"},
    {ExportFormat::kSafetensors, "safetensors"},
    {ExportFormat::kPth, "pth"},
}};

// Returns the config with the runtime that TraceGraph() needs: float32, on the CPU, with LibTorch's
// plain operators.
LoadedConfig PlainConfig(const LoadedConfig& loaded) {
  LoadedConfig plain = loaded;
  RuntimeConfig* const runtime = plain.config.mutable_runtime();
  runtime->set_device(RuntimeConfig::CPU);
  runtime->set_precision(RuntimeConfig::FLOAT32);
  runtime->set_engine(RuntimeConfig::PLAIN);
  return plain;
}

// Returns the "meta" dict of a checkpoint, which says what the model's outputs and inputs stand
// for.
Value::Dict MakeMeta(const DataIdentity& data) {
  Value::Dict meta;
  AppendWriter(&meta);
  AppendTo(data, &meta);
  return meta;
}

// Appends the metadata for readers that know nothing of finetune's configs: the validation pipeline
// and the SHA-256 of the checkpoint.
absl::Status AppendOrigin(const LoadedConfig& loaded, const std::string& checkpoint,
                          TextEntries* metadata) {
  std::string pipeline;
  for (const TransformConfig& step : loaded.config.data().val().pipeline()) {
    absl::StrAppend(&pipeline, pipeline.empty() ? "" : "\n", "pipeline { ", step.ShortDebugString(),
                    " }");
  }
  metadata->emplace_back("pipeline", pipeline);
  FT_ASSIGN_OR_RETURN(std::string digest, Sha256OfFile(checkpoint));
  metadata->emplace_back("checkpoint_sha256", std::move(digest));
  return absl::OkStatus();
}

// Returns "wrote model.onnx: 44.7 MiB, SHA-256 ..." for a file that exists.
absl::StatusOr<std::string> Describe(const std::string& path) {
  FT_ASSIGN_OR_RETURN(const std::string digest, Sha256OfFile(path));
  std::error_code error;
  const auto bytes = static_cast<double>(fs::file_size(path, error));
  return absl::StrFormat("wrote %s: %.1f MiB, SHA-256 %s\n", path, bytes / (1 << 20), digest);
}

std::string Shape(const onnx::ValueInfoProto& value) {
  std::vector<std::string> dims;
  for (const auto& dim : value.type().tensor_type().shape().dim()) {
    dims.push_back(dim.has_dim_param() ? dim.dim_param() : absl::StrCat(dim.dim_value()));
  }
  return absl::StrFormat(
      "%s: %s [%s]", value.name(),
      value.type().tensor_type().elem_type() == onnx::TensorProto::UINT8 ? "uint8" : "float32",
      absl::StrJoin(dims, ", "));
}

absl::StatusOr<std::string> ExportOnnx(const LoadedConfig& loaded, const ExportFlags& flags,
                                       Communicator* comm) {
  FT_ASSIGN_OR_RETURN(ServedModel served, LoadServedModel(PlainConfig(loaded), flags.model, comm));
  const ImagePipeline& pipeline = served.pipeline;
  const Normalize& normalize = pipeline.normalize();
  FT_ASSIGN_OR_RETURN(Graph graph,
                      TraceGraph(served.setup.model.get(),
                                 {pipeline.channels(), pipeline.height(), pipeline.width()}));
  DataIdentity identity;
  identity.classes = served.class_names;
  identity.statistics = normalize.statistics();
  TextEntries metadata = MetaToEntries(MakeMeta(identity));
  FT_RETURN_IF_ERROR(AppendOrigin(loaded, flags.model.checkpoint, &metadata));
  OnnxOptions options = flags.onnx;
  options.weights = flags.weights;
  FT_ASSIGN_OR_RETURN(const onnx::ModelProto model,
                      MakeOnnxModel(std::move(graph), options, normalize, metadata));
  std::string bytes;
  if (!model.SerializeToString(&bytes)) {
    return absl::InternalError("the ONNX model could not be made bytes of");
  }
  FT_RETURN_IF_ERROR(WriteFileAtomically(flags.to, bytes));
  FT_ASSIGN_OR_RETURN(std::string text, Describe(flags.to));
  absl::StrAppend(&text, "opset ", options.opset, "; input ", Shape(model.graph().input(0)),
                  "; output ", Shape(model.graph().output(0)), "\n");
  return text;
}

// Returns the root object of a .pth file. For torchvision and timm it is the dict of tensors alone.
// For finetune and mmpretrain it is a checkpoint's dict: "meta" and "state_dict".
Value MakeRoot(Value::Dict meta, WeightNames names, const TensorList& tensors) {
  Value state = Value::FromTensors(tensors);
  if (names == WeightNames::kTorchvision || names == WeightNames::kTimm) return state;
  Value::Dict root;
  root.Append("meta", std::move(meta));
  root.Append("state_dict", std::move(state));
  return root;
}

absl::StatusOr<std::string> ExportWeights(const LoadedConfig& loaded, const ExportFlags& flags,
                                          Communicator* comm) {
  FT_ASSIGN_OR_RETURN(const DataIdentity data, ReadDataIdentityOf(flags.model.checkpoint));
  FT_ASSIGN_OR_RETURN(Setup setup, PrepareModel(PlainConfig(loaded), data, comm));
  const absl::StatusOr<RenamedState> renamed =
      RenameState(*setup.model, loaded.config.model(), flags.names);
  FT_RETURN_IF_ERROR(Annotate(renamed.status(), "--names"));
  FT_RETURN_IF_ERROR(
      TakeWeights(loaded, flags.model.checkpoint, flags.model.key, flags.model.weights, &setup));
  PrintNotes(setup, *comm);
  TensorList tensors;
  for (const NamedTensor& one : renamed->tensors) {
    FT_ASSIGN_OR_RETURN(at::Tensor tensor, AsWeightType(one.name, one.tensor, flags.weights));
    tensors.push_back({one.name, std::move(tensor)});
  }
  Value::Dict meta = MakeMeta(data);
  meta.Append("cfg", PrintConfig(loaded, /*with_origins=*/false));
  if (flags.format == ExportFormat::kPth) {
    FT_RETURN_IF_ERROR(WriteTorchFile(flags.to, MakeRoot(std::move(meta), flags.names, tensors)));
  } else {
    TextEntries metadata = MetaToEntries(std::move(meta));
    metadata.insert(metadata.begin(), {"format", "pt"});
    FT_RETURN_IF_ERROR(AppendOrigin(loaded, flags.model.checkpoint, &metadata));
    if (!renamed->network.empty()) metadata.emplace_back("network", renamed->network);
    FT_RETURN_IF_ERROR(WriteSafetensors(flags.to, tensors, metadata));
  }
  FT_ASSIGN_OR_RETURN(std::string text, Describe(flags.to));
  absl::StrAppend(&text, tensors.size(), " tensors under the names of ", ToText(flags.names),
                  renamed->network.empty() ? "" : ", for ", renamed->network, "\n");
  return text;
}

}  // namespace

std::vector<std::string> AllExportFormats() {
  std::vector<std::string> all;
  for (const auto& [format, text] : kFormats) all.emplace_back(text);
  return all;
}

absl::StatusOr<ExportFormat> ParseExportFormat(const std::string& format, const std::string& path) {
  for (const auto& [known, text] : kFormats) {
    if (format.empty() ? absl::EndsWith(path, absl::StrCat(".", text)) : format == text) {
      return known;
    }
  }
  if (!format.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--format: found \"", format,
                                                   "\"; expected one of ",
                                                   absl::StrJoin(AllExportFormats(), ", ")));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--to: found ", path, "; expected a name that ends in .",
                   absl::StrJoin(AllExportFormats(), ", ."), ", or a format by --format"));
}

absl::StatusOr<std::string> RunExport(const LoadedConfig& loaded, const ExportFlags& flags) {
  FT_RETURN_IF_ERROR(CheckOutputs({{"--to", flags.to}}, flags.force, {flags.model.checkpoint}));
  SingleCommunicator comm;
  return CatchTorch([&] {
    return flags.format == ExportFormat::kOnnx ? ExportOnnx(loaded, flags, &comm)
                                               : ExportWeights(loaded, flags, &comm);
  });
}

}  // namespace finetune
