#include "src/main/flags.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/expand_home.h"
#include "src/base/flag_errors.h"

namespace finetune {
namespace {

// Has a "~" that the shell left alone, as in --work_dir='~/x', mean HOME in every path.
absl::Status ExpandPaths(CommandLine* line) {
  std::vector<std::pair<const char*, std::string*>> paths = {
      {"--config", &line->config},
      {"--work_dir", &line->work_dir},
      {"--resume", &line->resume},
      {"--checkpoint", &line->checkpoint},
      {"--trace", &line->trace},
      {"--profile", &line->plan.profile},
      {"--save_profile", &line->plan.save_profile}};
  for (std::string& folder : line->config_path) paths.emplace_back("--config_path", &folder);
  for (const auto& [flag, path] : paths) {
    absl::StatusOr<std::string> expanded = ExpandHome(*path);
    FT_RETURN_IF_ERROR(Annotate(expanded.status(), flag));
    *path = *std::move(expanded);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CommandLine line;
  CLI::App app("Fine-tunes an image classifier on the ranks of mpirun.", "finetune");
  app.footer(
      "Examples:\n"
      "  mpirun -np 8 finetune --config=resnet50_cifar.pbtxt\n"
      "  mpirun -np 8 finetune --config=F --set=optimizer.sgd.lr=0.02 --work_dir=DIR\n"
      "  mpirun -np 8 finetune --config=F --work_dir=DIR --resume=auto\n"
      "  mpirun -np 8 finetune evaluate --config=F --checkpoint=DIR/best.pth\n"
      "finetune COMMAND --help says more of each.\n\n"
      "Exit codes: 0 done; 1 the run failed; 2 the flags or the config are wrong; 75 stopped by a\n"
      "signal after saving (run again with --resume=auto).");
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(26);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  bool version = false;
  app.add_flag("--version", version, "Print which build this is");
  // One set of variables for all commands: only one of them runs.
  const auto add_config = [&](CLI::App* to) {
    to->add_option("--config", line.config,
                   "Config (.pbtxt), sought here, then in --config_path,\n"
                   "FINETUNE_CONFIG_PATH and the installed configs")
        ->type_name("FILE");
    to->add_option("--config_path", line.config_path,
                   "Folder to seek configs and their imports in; repeatable")
        ->type_name("DIR")
        ->allow_extra_args(false);
    to->add_option("--set", line.set,
                   "Override a field of the config, as in\n"
                   "--set=optimizer.sgd.lr=0.02 or\n"
                   "--set=schedule.multi_step.milestones=[10,15]; repeatable")
        ->type_name("PATH=VALUE")
        ->allow_extra_args(false);
  };
  const auto add_train = [&](CLI::App* to) {
    add_config(to);
    to->add_option("--work_dir", line.work_dir,
                   "Where logs and checkpoints go (default:\n"
                   "runtime.work_dir, else work_dirs/NAME)")
        ->type_name("DIR");
    to->add_option("--resume", line.resume,
                   "Go on from a checkpoint; auto: the last whole one in the\n"
                   "work_dir, or from the beginning where there is none")
        ->type_name("auto|PTH");
    to->add_flag("--allow_other_data", line.other_data,
                 "Resume also where the data differ from the\ncheckpoint's");
    to->add_flag("--overwrite", line.overwrite,
                 "Begin again in a work_dir that holds an earlier run");
    to->add_option("--max_iterations", line.max_iterations,
                   "Stop after so many, counted from the run's beginning\n"
                   "(default: as the schedule says)")
        ->type_name("N")
        ->check(WholeNumber(1));
    to->add_option("--trace", line.trace, "Write where every rank's time went, for ui.perfetto.dev")
        ->type_name("JSON");
  };
  add_train(&app);
  CLI::App* train = app.add_subcommand("train", "Train (the default)");
  add_train(train);
  train->footer(
      "Examples:\n"
      "  mpirun -np 8 finetune train --config=resnet50_cifar.pbtxt\n"
      "  mpirun -np 2 finetune train --config=demo.pbtxt --max_iterations=100 --overwrite");
  CLI::App* evaluate = app.add_subcommand("evaluate", "Evaluate a checkpoint on data.val");
  add_config(evaluate);
  evaluate
      ->add_option("--checkpoint", line.checkpoint,
                   "The .pth or .safetensors to evaluate, as in\nwork_dirs/demo/best.pth")
      ->type_name("FILE");
  evaluate
      ->add_option("--key", line.key,
                   "The entry of the file that holds the weights, as\n"
                   "model_ema (default: the usual one)")
      ->type_name("NAME");
  evaluate
      ->add_option("--prefix", line.prefix,
                   "What the weights' names begin with, as model\nin model.conv1.weight")
      ->type_name("NAME");
  evaluate->add_flag("--adapt_input_channels", line.adapt_input_channels,
                     "Fit a first convolution of another number of\n"
                     "channels, as model.backbone.pretrained does");
  evaluate->footer(
      "Example:\n"
      "  mpirun -np 2 finetune evaluate --config=demo.pbtxt "
      "--checkpoint=work_dirs/demo/best.pth");
  CLI::App* config = app.add_subcommand(
      "config", "Check a config and print it as it is used, with the place of each value");
  add_config(config);
  config->add_option("--origins", line.origins, "Say where each value was set (default true)")
      ->type_name("true|false")
      ->check(TrueOrFalse());
  config->footer(
      "Example, which makes one file of a config and its imports:\n"
      "  finetune config --config=resnet50_cifar.pbtxt --origins=false > mine.pbtxt");
  CLI::App* report =
      app.add_subcommand("report", "Write WORK_DIR/report.html from a run's records");
  report->add_option("WORK_DIR", line.work_dir, "The folder of the run, which may still go on")
      ->type_name("")
      ->required();
  report->footer("Example:\n  finetune report work_dirs/demo");

  CLI::App* plan = app.add_subcommand(
      "plan", "Predict step time, efficiency, memory and hours on other numbers of ranks");
  add_config(plan);
  plan->add_option("--ranks", line.plan.ranks, "Numbers of ranks (default 1,8,64,512)")
      ->type_name("N,N,...");
  plan->add_option("--link", line.plan.links,
                   "Between hosts: 10Gbit (the default), infiniband-hdr,\n"
                   "10Gbit,50us or NAME=BANDWIDTH,LATENCY; repeatable")
      ->type_name("LINK")
      ->allow_extra_args(false);
  plan->add_option("--intra_link", line.plan.intra_link,
                   "Within a host, as --link (default shared-memory)")
      ->type_name("LINK");
  plan->add_option("--ranks_per_host", line.plan.ranks_per_host, "(default 8)")
      ->type_name("N")
      ->check(WholeNumber(1, 1 << 20));
  plan->add_option("--algorithm", line.plan.algorithm,
                   "auto (the default: what a run does), ring or hierarchical")
      ->type_name("NAME");
  plan->add_option("--measure", line.plan.measure,
                   "Iterations to measure here on one rank (default 5)")
      ->type_name("N")
      ->check(WholeNumber(1, 1 << 20));
  plan->add_option("--profile", line.plan.profile,
                   "Instead of measuring: what --save_profile wrote, or the\n"
                   ".jsonl of a run of one rank")
      ->type_name("FILE");
  plan->add_option("--save_profile", line.plan.save_profile, "Where to keep what was measured")
      ->type_name("FILE");
  plan->add_option("--pictures", line.plan.pictures,
                   "Of the training split (default: its manifest's)")
      ->type_name("N")
      ->check(WholeNumber(1));
  plan->add_flag("--json", line.plan.json, "Print JSON");
  plan->footer(
      "Example:\n"
      "  finetune plan --config=resnet50_cifar.pbtxt --ranks=8,64 --link=infiniband-hdr");

  for (CLI::App* sub : {train, evaluate, config, report, plan}) sub->group("Commands");

  CLI::App* chosen = &app;
  const bool asks_for_help = !arguments.empty() && arguments.front() == "help";
  for (CLI::App* sub : {train, evaluate, config, report, plan}) {
    const size_t at = asks_for_help ? 1 : 0;
    if (arguments.size() > at && arguments[at] == sub->get_name()) chosen = sub;
  }
  const auto help = [&] {
    line.command = CommandLine::Command::kHelp;
    line.help = chosen == &app ? app.help() : chosen->help("finetune");
    return line;
  };
  if (asks_for_help) return help();
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return help();
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(ExplainFlags(app, arguments, error));
  }
  if (version) {
    line.command = CommandLine::Command::kVersion;
    return line;
  }
  for (const CLI::App* sub : app.get_subcommands()) {
    // "finetune --config=F evaluate".
    if (sub != chosen) {
      return absl::InvalidArgumentError(absl::StrCat(sub->get_name(),
                                                     ": the command comes first, as in finetune ",
                                                     sub->get_name(), " --config=F"));
    }
  }
  line.command = chosen == evaluate ? CommandLine::Command::kEvaluate
                 : chosen == config ? CommandLine::Command::kConfig
                 : chosen == report ? CommandLine::Command::kReport
                 : chosen == plan   ? CommandLine::Command::kPlan
                                    : CommandLine::Command::kTrain;
  if (line.config.empty() && line.command != CommandLine::Command::kReport) {
    return absl::InvalidArgumentError(
        "--config is not given; for example --config=resnet50_cifar.pbtxt (see --help)");
  }
  FT_RETURN_IF_ERROR(ExpandPaths(&line));
  for (const std::string& folder : line.config_path) {
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) {
      return absl::InvalidArgumentError(absl::StrCat("--config_path=", folder, ": is no folder"));
    }
  }
  if (line.command == CommandLine::Command::kEvaluate && line.checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "--checkpoint is not given; for example --checkpoint=work_dirs/demo/epoch_8.pth");
  }
  if (line.other_data && line.resume.empty()) {
    return absl::InvalidArgumentError(
        "--allow_other_data is for a run that goes on: give --resume too");
  }
  if (line.overwrite && !line.resume.empty()) {
    return absl::InvalidArgumentError(
        "--overwrite begins again and --resume goes on: give one of them");
  }
  return line;
}

}  // namespace finetune
