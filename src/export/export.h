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

// "onnx", "safetensors", "pth": the values of --format and the endings of files.
std::vector<std::string> AllExportFormats();
// Returns the format that `format` names; where it is empty, the one that the ending of `path`
// names. Errors: InvalidArgument.
absl::StatusOr<ExportFormat> ParseExportFormat(const std::string& format, const std::string& path);

// The flags of `finetune export` that are not the config's.
struct ExportFlags {
  ServedModelOptions model;
  // The file to write.
  std::string to;
  ExportFormat format = ExportFormat::kOnnx;
  bool force = false;  // whether a file that is there is replaced
  OnnxOptions onnx;
  // Of the weights of all formats; OnnxOptions::weights is not read.
  at::ScalarType weights = at::kFloat;
  WeightNames names = WeightNames::kFinetune;
};

// Does what `finetune export` does, and returns the sentences that it prints. The file appears
// whole or not at all. Errors: AlreadyExists for a file that is there, without `force`; those of
// LoadServedModel(), RenameState() and TraceGraph(); those of writing.
absl::StatusOr<std::string> RunExport(const LoadedConfig& loaded, const ExportFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_EXPORT_H_
