#ifndef FINETUNE_MAIN_COMMANDS_BROWSE_H_
#define FINETUNE_MAIN_COMMANDS_BROWSE_H_

#include <string>
#include <vector>

#include "src/browse/browse.h"
#include "src/main/config_flags.h"
#include "src/main/local_command.h"

namespace finetune {

class BrowseCommand : public LocalCommand {
 public:
  std::string name() const override { return "browse"; }
  std::string summary() const override {
    return "Show augmented images as the model gets them, with their classes, on one page";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  ConfigFlags config_;
  BrowseFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_BROWSE_H_
