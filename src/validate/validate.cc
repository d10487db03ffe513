#include "src/validate/validate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/base/shortest_number.h"
#include "src/comm/check_comm.h"
#include "src/config/problems.h"
#include "src/config/total_batch_size.h"
#include "src/data/batch_transforms/all.h"
#include "src/data/pipeline.h"
#include "src/data/sampler.h"
#include "src/model/classifier.h"
#include "src/optim/optimizer.h"
#include "src/optim/schedule.h"
#include "src/optim/validation_metric.h"

namespace finetune {
namespace {

// Checks one config. Each member function checks one part of it.
class Checker {
 public:
  Checker(const LoadedConfig& loaded, const RunFacts& facts, const Problems& problems)
      : loaded_(loaded), config_(loaded.config), facts_(facts), problems_(problems) {}

  void Run() {
    if (config_.name().empty()) Error("name", "is empty; the run's folder is named after it");
    CheckModel();
    CheckSplit(config_.data().train(), "data.train", facts_.train, /*training=*/true);
    if (config_.data().has_val()) {
      CheckSplit(config_.data().val(), "data.val", facts_.val, /*training=*/false);
    }
    CheckOptimizer(config_.optimizer(), problems_.Within("optimizer"));
    CheckSchedule(config_.schedule(), IterationsPerEpoch(), problems_.Within("schedule"));
    CheckLearningRate();
    CheckDecisions();
    CheckRuntime();
    CheckComm(config_.comm(), problems_.Within("comm"));
  }

 private:
  void Error(const std::string& field, const std::string& what) { problems_.Error(field, what); }
  void Warn(const std::string& field, const std::string& what) { problems_.Warn(field, what); }
  bool InRange(const std::string& field, double value, double low, double high) {
    return problems_.InRange(field, value, low, high);
  }
  void AtLeast(const std::string& field, double value, double low) {
    problems_.AtLeast(field, value, low);
  }

  void CheckModel() {
    finetune::CheckModel(config_.model(), problems_.Within("model"));
    const BackboneConfig& backbone = config_.model().backbone();
    if (backbone.has_pretrained() && backbone.pretrained().checkpoint().empty()) {
      Error("model.backbone.pretrained.checkpoint",
            "is not set; give a path or URL, or reset \"model.backbone.pretrained\"");
    }
    if (backbone.frozen_stages() >= 0 && !backbone.has_pretrained()) {
      Warn("model.backbone.frozen_stages",
           "freezes stages that were never trained: model.backbone.pretrained is not set");
    }
    const HeadConfig& head = config_.model().head();
    if (facts_.classes.has_value() && head.has_num_classes() &&
        head.num_classes() != facts_.classes->count) {
      Error("model.head.num_classes",
            absl::StrCat("is ", head.num_classes(), "; ", facts_.classes->from, " has ",
                         facts_.classes->count, " classes"));
    }
  }

  void CheckSplit(const SplitConfig& split, const std::string& path,
                  const std::optional<DataFacts>& data, bool training) {
    if (split.path().empty()) {
      Error(path + ".path", "is not set; expected the folder that prepare_dataset wrote");
    }
    if (!split.has_batch_size() && !split.has_total_batch_size()) {
      Error(path + ".batch_size",
            "is not set; give it, or total_batch_size for all ranks together");
    } else if (split.has_batch_size()) {
      InRange(path + ".batch_size", split.batch_size(), 1, 1 << 20);
    } else if (InRange(path + ".total_batch_size", split.total_batch_size(), 1, 1 << 24) &&
               split.total_batch_size() < facts_.world_size) {
      Error(path + ".total_batch_size",
            absl::StrCat("is ", split.total_batch_size(), " and there are ", facts_.world_size,
                         " ranks; each needs one image at least: start fewer ranks"));
    }
    AtLeast(path + ".micro_batch_size", split.micro_batch_size(), 0);
    InRange(path + ".workers", split.workers(), 1, 256);
    InRange(path + ".prefetch", split.prefetch(), 1, 1024);
    if (!training && split.drop_last()) {
      Error(path + ".drop_last",
            "leaves images out of the evaluation; only data.train can have it");
    }
    if (data.has_value()) {
      if (training && split.drop_last() &&
          data->images < TotalBatchSize(split, facts_.world_size)) {
        Error(path + ".drop_last",
              absl::StrCat("drops everything: ", data->images, " images are less than a batch of ",
                           TotalBatchSize(split, facts_.world_size)));
      }
    }
    CheckBatchTransform(split, path + ".batch_transform", training);
    CheckSampling(split, path, training);
    const ImageShape shape =
        data.has_value() ? ImageShape{data->channels, data->height, data->width} : ImageShape();
    Pipeline::Check(split, shape, training, problems_.Within(path));
  }

  void CheckBatchTransform(const SplitConfig& split, const std::string& path, bool training) {
    if (!split.has_batch_transform()) return;
    MakeBatchTransform(split.batch_transform(), problems_.Within(path));
    if (!training) {
      Error(path, "mixes labels, so that no accuracy could be told; only data.train can have it");
    } else if (config_.model().head().has_focal()) {
      Error(path, absl::StrCat("mixes labels, and model.head.focal (",
                               loaded_.PlaceOf("model.head.focal"),
                               ") is defined for labels that are certain: drop one of them"));
    } else if (TotalBatchSize(split, facts_.world_size) == 1) {
      Error(path, "mixes two images of a batch, and a batch has 1 here; expected 2 or more");
    }
  }

  void CheckSampling(const SplitConfig& split, const std::string& path, bool training) {
    InRange(path + ".repeated_augmentation", split.repeated_augmentation(), 1, 256);
    // The number of images in a global batch. Without a run, the number of ranks is not known.
    const bool known = split.has_total_batch_size() || facts_.train.has_value();
    const int64_t batch = known ? TotalBatchSize(split, facts_.world_size) : 0;
    if (training && batch > 0 && split.repeated_augmentation() > batch) {
      Error(path + ".repeated_augmentation",
            absl::StrCat("is ", split.repeated_augmentation(), "; expected at most ", batch,
                         ", the images of a global batch, because all visits of an image are in "
                         "one batch"));
    }
    const bool balanced = split.sampling() == SplitConfig::CLASS_BALANCED;
    if (!training && balanced) {
      Error(path + ".sampling", "leaves images out of the evaluation; only data.train can have it");
    }
    if (!training && split.repeated_augmentation() > 1) {
      Error(path + ".repeated_augmentation",
            "leaves images out of the evaluation; only data.train can have it");
    }
    if (training && balanced && split.has_shuffle() && !split.shuffle()) {
      Error(path + ".sampling",
            absl::StrCat("is CLASS_BALANCED, which takes random images; ", path, ".shuffle (",
                         loaded_.PlaceOf(path + ".shuffle"), ") is false: drop one of them"));
    }
    if (training && balanced && config_.model().head().class_weights().has_rule()) {
      Warn(path + ".sampling",
           absl::StrCat("is CLASS_BALANCED and model.head.class_weights (",
                        loaded_.PlaceOf("model.head.class_weights.rule"),
                        ") BALANCED: small classes are favoured twice; drop one of them"));
    }
  }

  // Returns the number of iterations of an epoch; 0 if it is not known.
  int64_t IterationsPerEpoch() const {
    const SplitConfig& train = config_.data().train();
    const int64_t total_batch = TotalBatchSize(train, facts_.world_size);
    if (!facts_.train.has_value() || total_batch <= 0) return 0;
    const Sampler sampler{
        .images = facts_.train->images, .total_batch = total_batch, .drop_last = train.drop_last()};
    return sampler.iterations_per_epoch();
  }

  // Checks that the learning rate fits the schedule and the total batch.
  void CheckLearningRate() {
    const ScheduleConfig& schedule = config_.schedule();
    const BaseLearningRate lr = FindLearningRate(config_.optimizer());
    const std::optional<MinimumLearningRate> least = FindMinimumLearningRate(schedule);
    if (least.has_value() && lr.value.has_value() && std::isfinite(least->value) &&
        least->value > *lr.value) {
      Error(least->field, absl::StrCat("is ", ShortestNumber(least->value),
                                       "; the learning rate would rise to it from ", lr.field, ", ",
                                       ShortestNumber(*lr.value)));
    }
    const SplitConfig& train = config_.data().train();
    const int64_t total_batch = TotalBatchSize(train, facts_.world_size);
    if (total_batch <= 0) return;
    const int base_batch = schedule.base_batch_size();
    if (base_batch <= 0 || schedule.auto_scale_lr() || total_batch == base_batch) return;
    const std::string arithmetic =
        train.has_batch_size() ? absl::StrCat(facts_.world_size, " x ", train.batch_size(), " = ")
                               : std::string();
    Warn("schedule.base_batch_size",
         absl::StrFormat("the learning rate %g was chosen for %d images an iteration; this run "
                         "takes %s%d. Start with --set=schedule.auto_scale_lr=true for a rate of "
                         "%g, or with --set=data.train.total_batch_size=%d",
                         lr.value.value_or(0), base_batch, arithmetic, total_batch,
                         lr.value.value_or(0) * static_cast<double>(total_batch) / base_batch,
                         base_batch));
  }

  // Checks the settings by which validations decide about the run.
  void CheckDecisions() {
    const ScheduleConfig& schedule = config_.schedule();
    const bool validates =
        schedule.val_interval_epochs() > 0 || schedule.has_val_interval_iterations();
    for (const auto& [has, field] :
         {std::pair(schedule.has_plateau(), "schedule.plateau"),
          std::pair(schedule.has_early_stopping(), "schedule.early_stopping")}) {
      if (!has) continue;
      if (!config_.data().has_val()) {
        Error(field, "needs validations, and data.val is not set");
      } else if (!validates) {
        Error(field, absl::StrCat("needs validations, and schedule.val_interval_epochs (",
                                  loaded_.PlaceOf("schedule.val_interval_epochs"), ") is 0"));
      }
    }
    const CheckpointConfig& checkpoint = config_.runtime().checkpoint();
    const google::protobuf::RepeatedField<int32_t>& topk = config_.model().head().topk();
    for (const auto& [metric, field] :
         {std::pair(checkpoint.best_metric(), "runtime.checkpoint.best_metric"),
          std::pair(schedule.plateau().metric(), "schedule.plateau.metric"),
          std::pair(schedule.early_stopping().metric(), "schedule.early_stopping.metric")}) {
      if (metric != TOP5 || std::find(topk.begin(), topk.end(), 5) != topk.end()) continue;
      Error(field, absl::StrCat("is TOP5, and model.head.topk (",
                                loaded_.PlaceOf("model.head.topk"), ") lacks 5: add it"));
    }
    if (schedule.has_plateau() && schedule.has_early_stopping() &&
        schedule.plateau().metric() == EarlyStoppingMetric(config_) &&
        schedule.early_stopping().patience() <= schedule.plateau().patience()) {
      Warn("schedule.early_stopping.patience",
           absl::StrFormat(
               "is %d, and schedule.plateau.patience (%s) is %d: the run ends before the "
               "learning rate falls",
               schedule.early_stopping().patience(), loaded_.PlaceOf("schedule.plateau.patience"),
               schedule.plateau().patience()));
    }
    if (config_.optimizer().has_swa()) {
      const int first = config_.optimizer().swa().first_epoch();
      if (schedule.has_max_epochs() && first > schedule.max_epochs()) {
        Error("optimizer.swa.first_epoch",
              absl::StrCat("is ", first, "; the run ends after epoch ", schedule.max_epochs(),
                           " and would never average"));
      }
      if (schedule.has_early_stopping()) {
        Error("schedule.early_stopping",
              absl::StrCat("does not go with optimizer.swa (", loaded_.PlaceOf("optimizer.swa"),
                           "), which computes the batch norms' statistics of its average at the "
                           "end of the whole run: drop one of them"));
      }
    }
    if (InRange("runtime.checkpoint.keep_best", checkpoint.keep_best(), 1, 1000) &&
        checkpoint.keep_best() > 1 && !checkpoint.save_best()) {
      Error("runtime.checkpoint.keep_best",
            absl::StrCat("is ", checkpoint.keep_best(), ", and runtime.checkpoint.save_best (",
                         loaded_.PlaceOf("runtime.checkpoint.save_best"),
                         ") is false: drop one of them"));
    }
  }

  void CheckRuntime() {
    const RuntimeConfig& runtime = config_.runtime();
    InRange("runtime.threads", runtime.threads(), 0, 4096);
    AtLeast("runtime.log_interval", runtime.log_interval(), 1);
    AtLeast("runtime.checkpoint.interval_epochs", runtime.checkpoint().interval_epochs(), 0);
    AtLeast("runtime.checkpoint.interval_iterations",
            static_cast<double>(runtime.checkpoint().interval_iterations()), 0);
    AtLeast("runtime.checkpoint.keep_last", runtime.checkpoint().keep_last(), 0);
    if (runtime.device() == RuntimeConfig::CPU && config_.comm().backend() == CommConfig::NCCL) {
      Error("comm.backend", absl::StrCat("is NCCL, which needs GPUs; runtime.device (",
                                         loaded_.PlaceOf("runtime.device"), ") is CPU"));
    }
    if (!runtime.cuda_graph()) return;
    if (runtime.device() == RuntimeConfig::CPU) {
      Error("runtime.cuda_graph", absl::StrCat("is for GPUs; runtime.device (",
                                               loaded_.PlaceOf("runtime.device"), ") is CPU"));
    }
    const ModelConfig& model = config_.model();
    for (const auto& [field, probability] :
         {std::pair("model.head.dropout", model.head().dropout()),
          std::pair("model.backbone.resnet.drop_path", model.backbone().resnet().drop_path()),
          std::pair("model.backbone.efficientnet_lite.drop_path",
                    model.backbone().efficientnet_lite().drop_path()),
          std::pair("model.backbone.efficientnet.drop_path",
                    model.backbone().efficientnet().drop_path()),
          std::pair("model.backbone.efficientnet_v2.drop_path",
                    model.backbone().efficientnet_v2().drop_path()),
          std::pair("model.backbone.convnext.drop_path", model.backbone().convnext().drop_path()),
          std::pair("model.backbone.vit.drop_path", model.backbone().vit().drop_path()),
          std::pair("model.backbone.swin.drop_path", model.backbone().swin().drop_path()),
          std::pair("model.backbone.vgg.hidden_dropout",
                    model.backbone().vgg().hidden_dropout())}) {
      if (!(probability > 0)) continue;
      Error("runtime.cuda_graph",
            absl::StrCat("does not go with ", field, " (", loaded_.PlaceOf(field),
                         "), whose draws a recorded step would repeat: drop one of them"));
    }
    if (config_.comm().sync_batch_norm() && facts_.world_size > 1) {
      Error("runtime.cuda_graph",
            absl::StrCat("does not go with comm.sync_batch_norm (",
                         loaded_.PlaceOf("comm.sync_batch_norm"),
                         "), which sums over the ranks in the middle of a step: drop one of them"));
    }
  }

  const LoadedConfig& loaded_;
  const ExperimentConfig& config_;
  const RunFacts& facts_;
  const Problems problems_;
};

// Returns each problem as "place: field: what is wrong".
std::vector<std::string> WithPlaces(const std::vector<Problem>& problems,
                                    const LoadedConfig& loaded) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems) {
    lines.push_back(
        absl::StrCat(loaded.PlaceOf(problem.field), ": ", problem.field, ": ", problem.text));
  }
  return lines;
}

}  // namespace

DataFacts FactsOf(const DatasetManifest& manifest, int64_t images) {
  return {images, manifest.channels(), manifest.height(), manifest.width()};
}

absl::StatusOr<std::vector<std::string>> ValidateConfig(const LoadedConfig& loaded,
                                                        const RunFacts& facts) {
  ProblemList found;
  Checker(loaded, facts, Problems(&found)).Run();
  if (!found.errors.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(WithPlaces(found.errors, loaded), "\n"));
  }
  return WithPlaces(found.warnings, loaded);
}

std::vector<std::string> FindWrongValues(const LoadedConfig& loaded) {
  ProblemList found;
  const RunFacts no_facts;
  Checker(loaded, no_facts, Problems(&found)).Run();
  std::erase_if(found.wrong_values,
                [&](const Problem& problem) { return !loaded.origins.contains(problem.field); });
  return WithPlaces(found.wrong_values, loaded);
}

}  // namespace finetune
