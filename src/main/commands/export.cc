#include "src/main/commands/export.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"

namespace finetune {

std::vector<std::string> ExportCommand::examples() const {
  return {
      "finetune export --checkpoint=best.pth --to=model.onnx --with_preprocessing=nhwc --softmax",
      "finetune export --checkpoint=best.pth --to=model.pth --names=torchvision"};
}

void ExportCommand::AddFlags(FlagList* flags) {
  checkpoint_.AddTo("The .pth or .safetensors to export; finetune's carries its config", flags);
  flags->Path(Flag::Kind::kFile, "--to", "FILE", "The .onnx, .safetensors or .pth to write",
              &flags_.to);
  flags->Text("--format", "NAME", "onnx, safetensors or pth (default: as FILE ends)", &format_)
      ->choices = AllExportFormats();
  flags->Switch("--force", "Replace FILE where it is there", &flags_.force);
  flags
      ->Text("--dtype", "TYPE", "Type of the weights: float32 (default), float16 or bfloat16",
             &dtype_)
      ->choices = {"float32", "float16", "bfloat16"};
  flags
      ->Text("--names", "NAME",
             "Names of weights: finetune (default), torchvision, timm, mmpretrain", &names_)
      ->choices = AllWeightNames();
  flags->Switch("--fold_batch_norm", "ONNX: fold batch norms into the convolutions before them",
                &flags_.onnx.fold_batch_norm);
  flags
      ->Text("--with_preprocessing", "NAME",
             "ONNX: take uint8 images, nhwc or nchw, and normalize them", &preprocessing_)
      ->choices = {"nhwc", "nchw"};
  flags->Switch("--softmax", "ONNX: return probabilities in place of logits", &flags_.onnx.softmax);
  flags->WholeNumber("--opset",
                     absl::StrCat("ONNX: version of its operators (default ", kNewestOpset, ")"),
                     kOldestOpset, kNewestOpset, &flags_.onnx.opset);
}

absl::StatusOr<ExportFlags> ExportCommand::Parse() const {
  FT_RETURN_IF_ERROR(checkpoint_.Check());
  if (flags_.to.empty()) {
    return absl::InvalidArgumentError("--to is not given; for example --to=model.onnx");
  }
  ExportFlags flags = flags_;
  flags.model = {checkpoint_.checkpoint, checkpoint_.key, checkpoint_.weights};
  FT_ASSIGN_OR_RETURN(flags.format, ParseExportFormat(format_, flags_.to));
  if (dtype_ == "float16") {
    flags.weights = at::kHalf;
  } else if (dtype_ == "bfloat16") {
    flags.weights = at::kBFloat16;
  } else if (dtype_ != "float32") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--dtype: found \"", dtype_, "\"; expected one of float32, float16, bfloat16"));
  }
  if (preprocessing_ == "nhwc") {
    flags.onnx.input = OnnxInput::kNhwc;
  } else if (preprocessing_ == "nchw") {
    flags.onnx.input = OnnxInput::kNchw;
  } else if (!preprocessing_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--with_preprocessing: found \"", preprocessing_,
                                                   "\"; expected nhwc or nchw"));
  }
  if (!names_.empty()) {
    absl::StatusOr<WeightNames> names = ParseWeightNames(names_);
    FT_RETURN_IF_ERROR(Annotate(names.status(), "--names"));
    flags.names = *names;
  }
  const OnnxOptions& onnx = flags.onnx;
  if (flags.format == ExportFormat::kOnnx && !names_.empty()) {
    return absl::InvalidArgumentError(
        "--names: found a file of ONNX, whose weights no program loads by name; leave --names out");
  }
  const bool changes_graph = onnx.fold_batch_norm || onnx.softmax || onnx.opset != kNewestOpset ||
                             onnx.input != OnnxInput::kPrepared;
  if (flags.format != ExportFormat::kOnnx && changes_graph) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--to: found ", flags.to,
        ", which holds weights alone; --fold_batch_norm, --with_preprocessing, --softmax and "
        "--opset are for .onnx"));
  }
  return flags;
}

absl::Status ExportCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  FT_ASSIGN_OR_RETURN(const ExportFlags flags, Parse());
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, checkpoint_.Load());
  absl::StatusOr<std::string> text = RunExport(loaded, flags);
  if (!text.ok()) return loaded.WithPlace(text.status());
  *output = *std::move(text);
  return absl::OkStatus();
}

}  // namespace finetune
