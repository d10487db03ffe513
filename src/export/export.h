#ifndef FINETUNE_EXPORT_EXPORT_H_
#define FINETUNE_EXPORT_EXPORT_H_

#include <ATen/core/ScalarType.h>

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/export/onnx_file.h"
#include "src/export/weight_names.h"
#include "src/predict/served_model.h"

namespace finetune {

enum class ExportFormat { kOnnx, kSafetensors, kPth };

// Returns "onnx", "safetensors" and "pth": the values of --format, which are also the endings of
// the files' names.
std::vector<std::string> AllExportFormats();
// Returns the format that `format` names. If `format` is empty, returns the format that the ending
// of `path` names. Errors: InvalidArgument for an unknown format or ending.
absl::StatusOr<ExportFormat> ParseExportFormat(const std::string& format, const std::string& path);

// The flags of `finetune export`, apart from those that choose and override the config.
struct ExportFlags {
  ServedModelOptions model;
  // The path of the file to write.
  std::string to;
  ExportFormat format = ExportFormat::kOnnx;
  bool force = false;  // whether an existing file at `to` is replaced
  OnnxOptions onnx;    // read for kOnnx only
  // The type of the weights in the file, for every format. It overrides `onnx.weights`. kFloat,
  // kHalf or kBFloat16.
  at::ScalarType weights = at::kFloat;
  WeightNames names = WeightNames::kFinetune;
};

// Runs `finetune export`: writes the file `flags.to` and returns the text to print. The file
// appears complete or not at all. Errors: those of CheckOutputs(), LoadServedModel(),
// RenameState(), TraceGraph() and MakeOnnxModel(); the errors of writing a file.
absl::StatusOr<std::string> RunExport(const LoadedConfig& loaded, const ExportFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_EXPORT_H_
