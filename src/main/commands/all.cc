#include "src/main/commands/all.h"

#include <memory>

#include "src/main/commands/batch.h"
#include "src/main/commands/browse.h"
#include "src/main/commands/completion.h"
#include "src/main/commands/config.h"
#include "src/main/commands/diff.h"
#include "src/main/commands/evaluate.h"
#include "src/main/commands/export.h"
#include "src/main/commands/help.h"
#include "src/main/commands/lr.h"
#include "src/main/commands/plan.h"
#include "src/main/commands/predict.h"
#include "src/main/commands/report.h"
#include "src/main/commands/summary.h"
#include "src/main/commands/train.h"
#include "src/main/commands/version.h"
#include "src/main/commands/watch.h"

namespace finetune {

CommandList MakeCommands() {
  CommandList commands;
  commands.push_back(std::make_unique<TrainCommand>());
  commands.push_back(std::make_unique<EvaluateCommand>());
  commands.push_back(std::make_unique<PredictCommand>());
  commands.push_back(std::make_unique<ExportCommand>());
  commands.push_back(std::make_unique<ConfigCommand>());
  commands.push_back(std::make_unique<DiffCommand>());
  commands.push_back(std::make_unique<SummaryCommand>());
  commands.push_back(std::make_unique<ReportCommand>());
  commands.push_back(std::make_unique<WatchCommand>());
  commands.push_back(std::make_unique<LrCommand>());
  commands.push_back(std::make_unique<BatchCommand>());
  commands.push_back(std::make_unique<PlanCommand>());
  commands.push_back(std::make_unique<BrowseCommand>());
  commands.push_back(std::make_unique<CompletionCommand>());
  commands.push_back(std::make_unique<HelpCommand>());
  commands.push_back(std::make_unique<VersionCommand>());
  return commands;
}

}  // namespace finetune
