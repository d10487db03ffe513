#ifndef FINETUNE_MAIN_COMMANDS_EXPORT_H_
#define FINETUNE_MAIN_COMMANDS_EXPORT_H_

#include <string>
#include <vector>

#include "src/export/export.h"
#include "src/main/checkpoint_flags.h"
#include "src/main/local_command.h"

namespace finetune {

class ExportCommand : public LocalCommand {
 public:
  std::string name() const override { return "export"; }
  std::string summary() const override {
    return "Write a checkpoint as ONNX, or its weights under another program's names";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override { return Parse().status(); }
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  // Returns the flags, with --format, --names, --preprocessing and --dtype parsed from their texts.
  // Errors: InvalidArgument for an unknown value.
  absl::StatusOr<ExportFlags> Parse() const;

  CheckpointFlags checkpoint_;
  ExportFlags flags_;
  std::string format_, names_, preprocessing_, dtype_ = "float32";
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_EXPORT_H_
