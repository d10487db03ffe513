#include "src/train/setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <future>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/annotate.h"
#include "src/base/hide_secrets.h"
#include "src/base/processor.h"
#include "src/checkpoint/fetch.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/value.h"
#include "src/comm/agreement.h"
#include "src/config/field_error.h"
#include "src/config/print.h"
#include "src/data/dataset.h"
#include "src/data/manifest.h"
#include "src/host/affinity.h"
#include "src/host/build_id.h"
#include "src/host/gpus.h"
#include "src/model/class_weights.h"
#include "src/model/load.h"
#include "src/observe/progress_line.h"
#include "src/train/check_batches.h"
#include "src/train/match_config.h"
#include "src/train/match_data.h"
#include "src/validate/validate.h"

namespace finetune {
namespace {

// Returns an error that names the config values that differ between ranks. Collective.
absl::Status CompareConfigs(const ExperimentConfig& config, Communicator* comm) {
  FT_ASSIGN_OR_RETURN(
      const std::vector<std::string> texts,
      comm->AllGather(absl::StrJoin(ConfigValues(config), "\n", absl::PairFormatter(" "))));
  std::vector<std::map<std::string, std::string>> values;
  // The path of each value that any rank has, each with the value "unset".
  std::map<std::string, std::string> unset;
  for (const std::string& text : texts) {
    std::map<std::string, std::string>& theirs = values.emplace_back();
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::pair<std::string, std::string> value =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      theirs.insert(value);
      unset[value.first] = "unset";
    }
  }
  std::vector<std::vector<AgreementItem>> items(values.size());
  for (size_t r = 0; r < values.size(); ++r) {
    values[r].insert(unset.begin(), unset.end());
    for (const auto& [path, value] : values[r]) items[r].push_back({path, value});
  }
  const absl::Status same = CompareItems(items, comm->world().hosts);
  return absl::Status(same.code(), HideSecrets(same.message()));
}

// Checks that everything that must be equal on all ranks is equal, because ranks that differ would
// train different models without an error. `data`: a digest of the data sets. `checkpoint`: a
// digest of the evaluated checkpoint's class names, mean and std; "" for training.
absl::Status CheckSameRun(const LoadedConfig& loaded, const std::string& data,
                          const std::string& checkpoint, Communicator* comm) {
  // A different build may compute different values, and a different LibTorch may sum in a different
  // order.
  FT_RETURN_IF_ERROR(CheckAgreement({{"the program's build id", BuildId()},
                                     {"LibTorch's build id", BuildId("libtorch_cpu.so")},
                                     {"the world", absl::StrCat(comm->size(), " ranks")}},
                                    *comm));
  absl::Status same =
      CheckAgreement({{"the config's hash", absl::StrFormat("%016x", ConfigHash(loaded.config))},
                      {"the data's manifest", data},
                      {"the checkpoint's classes, mean and std", checkpoint}},
                     *comm);
  if (same.ok()) return same;
  const absl::Status values = CompareConfigs(loaded.config, comm);
  return values.ok() ? same : values;
}

std::optional<DataFacts> FactsOf(const absl::StatusOr<std::unique_ptr<Dataset>>& data) {
  if (!data.ok() || *data == nullptr) return std::nullopt;
  return FactsOf((*data)->manifest(), (*data)->size());
}

std::string DigestOf(const Dataset* data) {
  return data == nullptr ? "" : ManifestDigest(data->manifest()).substr(0, 16);
}

// Checks that the model accepts images of the size and channels that the loader gives. `name`:
// "data.train".
absl::Status CheckInputs(const LoadedConfig& loaded, const std::string& name,
                         const BatchLoader* loader, const Classifier& model) {
  if (loader == nullptr) return absl::OkStatus();
  const Pipeline& pipeline = loader->pipeline();
  return Annotate(model.CheckInput(pipeline.channels(), pipeline.height(), pipeline.width()),
                  absl::StrCat(loaded.PlaceOf(name + ".pipeline"), ": ", name));
}

// Checks that every training pass has enough images for the model's batch norms. See
// CheckNoLoneImage().
absl::Status CheckPasses(const LoadedConfig& loaded, const BatchLoader& train,
                         const Classifier& model, int ranks) {
  const int64_t height = train.pipeline().height(), width = train.pipeline().width();
  if (model.LeastBatchNormValues(height, width) != 1) return absl::OkStatus();
  const SplitConfig& split = loaded.config.data().train();
  const absl::Status status = CheckNoLoneImage(
      split, {train.sampler().images, ranks, loaded.config.comm().sync_batch_norm()});
  if (status.ok()) return status;
  int64_t side = std::max(height, width) + 1;
  while (model.LeastBatchNormValues(side, side) == 1) ++side;
  return absl::InvalidArgumentError(absl::StrCat(
      loaded.PlaceOf(split.has_batch_size() ? "data.train.batch_size"
                                            : "data.train.total_batch_size"),
      ": data.train: batch norm needs two values a channel, and the network's last maps of ",
      height, "x", width, " images are 1x1: ", status.message(), ", or resize images to ", side,
      "x", side, " or more"));
}

// Binds this rank to its part of the host's cores. Call it before LibTorch or a loader starts a
// thread, because the binding does not move existing threads.
absl::Status TakeCores(int requested, Communicator* comm, Setup* setup) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> bindings, comm->AllGather(DescribeBinding()));
  absl::StatusOr<CpuPlan> plan = PlanCpus(requested, comm->rank(), bindings, comm->world().hosts);
  FT_RETURN_IF_ERROR(Agree(absl::IsInvalidArgument(plan.status())
                               ? FieldError("runtime.threads", plan.status().message())
                               : plan.status(),
                           *comm));
  if (!plan->note.empty()) setup->host_warnings.push_back(plan->note);
  // A container may forbid the binding. Then the operating system places the threads, which is
  // slower but not wrong.
  if (absl::Status bound = BindThread(plan->cpus); !bound.ok()) {
    setup->host_warnings.emplace_back(bound.message());
  }
  at::set_num_threads(plan->threads);
  setup->notes.push_back(absl::StrFormat("%d rank%s of %d thread%s", comm->size(),
                                         comm->size() == 1 ? "" : "s", plan->threads,
                                         plan->threads == 1 ? "" : "s"));
  return absl::OkStatus();
}

// Returns whether these ranks compute in bfloat16 according to runtime.precision. Collective.
absl::StatusOr<bool> UsesBfloat16(const RuntimeConfig& runtime, Communicator* comm, Setup* setup) {
  const bool here =
      setup->device.is_cpu() ? ThisProcessor().avx512_bfloat16 : VisibleGpus().bfloat16;
  double ranks[1] = {here ? 1.0 : 0.0};
  FT_RETURN_IF_ERROR(comm->AllReduceSum(absl::MakeSpan(ranks)));
  const bool everywhere = ranks[0] == comm->size();
  if (runtime.precision() == RuntimeConfig::FASTEST) {
    setup->notes.push_back(everywhere
                               ? "precision FASTEST is bfloat16 here"
                               : "precision FASTEST is float32 here: a rank's processor has no "
                                 "instructions for bfloat16");
    return everywhere;
  }
  const bool bfloat16 = runtime.precision() == RuntimeConfig::BFLOAT16;
  if (bfloat16 && !here) {
    setup->host_warnings.emplace_back(
        "this processor has no instructions for bfloat16 and multiplies in float32 what it stores "
        "in bfloat16: that saves memory and no time. runtime.precision: FASTEST takes what is "
        "faster");
  }
  return bfloat16;
}

// Returns the function that sums batch norm statistics over all ranks. Its all-reduces and those of
// the gradients start in the same order on every rank: all start on the thread that runs autograd,
// in the order of the graph, and every rank has the same graph, because every rank runs every layer
// equally often.
SumOverRanks SumOver(Communicator* comm) {
  return [comm](const at::Tensor& values) -> absl::Status {
    FT_ASSIGN_OR_RETURN(std::unique_ptr<Communicator::Work> work, comm->AllReduceSum(values));
    return work->Wait();
  };
}

// Chooses the device of this rank and the type that it computes in. Collective.
absl::Status TakeDevice(const RuntimeConfig& runtime, Communicator* comm, Setup* setup) {
  FT_RETURN_IF_ERROR(TakeCores(runtime.threads(), comm, setup));
  if (comm->device() >= 0) {
    setup->device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(comm->device()));
    at::globalContext().lazyInitDevice(at::kCUDA);
    // A resumed run must repeat the sums of the interrupted one in the same order.
    at::globalContext().setDeterministicCuDNN(true);
    // FLOAT32 must be float32. By default cuDNN multiplies it as TF32, with 10 bits of mantissa.
    at::globalContext().setAllowTF32CuDNN(false);
    absl::StrAppend(&setup->notes.front(), ", each on a GPU (", VisibleGpus().name, ")");
  } else {
    absl::StrAppend(&setup->notes.front(), " on the CPU",
                    runtime.device() == RuntimeConfig::AUTO
                        ? absl::StrCat(": ", VisibleGpus().why_none)
                        : std::string());
    if (runtime.cuda_graph()) {
      setup->notes.push_back("runtime.cuda_graph: without a GPU no steps are recorded");
    }
  }
  FT_ASSIGN_OR_RETURN(setup->bfloat16, UsesBfloat16(runtime, comm, setup));
  return absl::OkStatus();
}

// Sets setup->class_weights from the config or, with a rule, from the training images; adds a note
// for a rule.
void WeighClasses(const HeadConfig& head, const BatchLoader& train, Setup* setup) {
  // Only the rule needs the counts, for which the label of every image is read.
  const bool balanced = head.class_weights().has_rule();
  setup->class_weights =
      ClassWeights(head, balanced ? train.class_counts() : std::vector<int64_t>());
  if (!balanced) return;
  const auto [least, most] =
      std::minmax_element(setup->class_weights.begin(), setup->class_weights.end());
  setup->notes.push_back(absl::StrFormat(
      "model.head.class_weights: BALANCED gives weights of %.4g to %.4g", *least, *most));
}

// Builds the network with random weights, which depend only on the seed.
absl::Status MakeModel(const ExperimentConfig& config, Communicator* comm, Setup* setup) {
  ClassifierOptions options;
  options.seed = config.runtime().seed();
  options.device = setup->device;
  options.mode.bfloat16 = setup->bfloat16;
  options.mode.fused = config.runtime().engine() == RuntimeConfig::FUSED;
  if (config.comm().sync_batch_norm() && comm->size() > 1) {
    options.mode.sum_over_ranks = SumOver(comm);
  }
  FT_ASSIGN_OR_RETURN(setup->model, Classifier::Create(config.model(), options));
  return absl::OkStatus();
}

// Prints, on rank 0, the progress of a download.
class DownloadProgress {
 public:
  DownloadProgress(const std::string& what, bool enabled)
      : what_(what),
        progress_(stdout, enabled && IsWatched(), std::chrono::seconds(10)),
        enabled_(enabled) {}

  void operator()(uint64_t done, uint64_t total) {
    if (!enabled_ || done == 0) return;
    // The first report is printed at once.
    const bool first = !std::exchange(begun_, true);
    if (!progress_.IsDue() && !first) return;
    const auto mebibytes = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
    progress_.Show(absl::StrFormat("downloading %s: %.1f%s MiB", what_, mebibytes(done),
                                   total > 0 ? absl::StrFormat(" of %.1f", mebibytes(total)) : ""));
  }

  void Say(const std::string& text) {
    progress_.Clear();
    std::fprintf(stderr, "%s\n", text.c_str());
  }

  void End() { progress_.Clear(); }

 private:
  const std::string what_;
  PacedProgress progress_;
  const bool enabled_;
  bool begun_ = false;
};

// Downloads a checkpoint where it is a URL, and returns its local path. One rank per host downloads
// it; the other ranks of the host then find it in the cache. Until the download ends all ranks meet
// in an all-reduce every half second, because a single collective that waits for a long download
// would exceed the communicator's timeout.
absl::StatusOr<std::string> Fetch(const std::string& checkpoint, Communicator* comm) {
  const bool fetches = comm->local_rank() == 0;
  std::atomic<bool> given_up{false};
  const std::string hidden = HideSecretsOfUrl(checkpoint);
  const std::string url = hidden.substr(0, hidden.find_first_of("?#"));
  const std::string name = url.substr(url.rfind('/') + 1);
  DownloadProgress progress(name, /*enabled=*/comm->rank() == 0);
  FetchOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    progress(done, total);
    return !given_up;
  };
  options.notice = [&](const std::string& sentence) {
    progress.Say(
        absl::StrCat("rank ", comm->rank(), " (host ", comm->host(comm->rank()), "): ", sentence));
  };
  std::future<absl::StatusOr<std::string>> fetching;
  if (fetches) {
    fetching = std::async(std::launch::async, [&] { return FetchToCache(checkpoint, options); });
  }
  comm->SetActivity(absl::StrCat("fetching ", name));
  while (true) {
    double busy[1] = {0};
    if (fetches &&
        fetching.wait_for(std::chrono::milliseconds(500)) == std::future_status::timeout) {
      busy[0] = 1;
    }
    const absl::Status met = comm->AllReduceSum(absl::MakeSpan(busy));
    // After an error the download is cancelled, because its thread must not outlive the variables
    // that it uses.
    if (!met.ok()) given_up = true;
    FT_RETURN_IF_ERROR(met);
    if (busy[0] == 0) break;
  }
  absl::StatusOr<std::string> path = std::string();
  if (fetches) path = fetching.get();
  progress.End();
  FT_RETURN_IF_ERROR(Agree(path.status(), *comm));
  if (!fetches) path = FetchToCache(checkpoint);
  return path;
}

// Loads the weights in the file at `path` into the model, as model.backbone.pretrained says.
absl::Status LoadFrom(const std::string& path, const LoadedConfig& loaded, Setup* setup) {
  const PretrainedConfig& pretrained = loaded.config.model().backbone().pretrained();
  const absl::StatusOr<Value> meta = ReadMeta(path);
  absl::StatusOr<DataIdentity> trained_on = DataIdentity();
  if (!meta.ok()) {
    trained_on = meta.status();
  } else {
    const absl::StatusOr<std::string> warning = CheckFirstNetwork(*meta, loaded);
    FT_RETURN_IF_ERROR(Annotate(warning.status(), path));
    if (!warning->empty()) setup->warnings.push_back(absl::StrCat(path, ": ", *warning));
    trained_on = ReadDataIdentity(*meta);
    if (!trained_on.ok()) trained_on = Annotate(trained_on.status(), path);
  }
  if (pretrained.with_head()) {
    FT_RETURN_IF_ERROR(trained_on.status());
    const absl::StatusOr<std::string> note = CheckHeadClasses(*trained_on, setup->data.classes);
    FT_RETURN_IF_ERROR(Annotate(note.status(), path));
    if (!note->empty()) setup->notes.push_back(absl::StrCat(path, ": ", *note));
  }
  const absl::StatusOr<StateDict> read = ReadStateDict(path, pretrained.key());
  if (!read.ok() && absl::StartsWithIgnoreCase(pretrained.checkpoint(), "http")) {
    // A server may send another or half a file, which the cache would keep for ever.
    return absl::Status(read.status().code(),
                        absl::StrCat(read.status().message(), "; it was downloaded from ",
                                     HideSecretsOfUrl(pretrained.checkpoint()),
                                     ": to download it again, delete it"));
  }
  FT_RETURN_IF_ERROR(read.status());
  const StateDict& state = *read;
  const absl::StatusOr<LoadReport> report = LoadPretrained(state, pretrained, setup->model.get());
  FT_RETURN_IF_ERROR(Annotate(report.status(), path));
  AddNotes(path, state, *report, setup);
  // A missing tensor that allow_missing names keeps its random values.
  (report->missing.empty() ? setup->notes : setup->warnings)
      .push_back(absl::StrCat(pretrained.with_head() ? "weights" : "backbone", " from ", path, ": ",
                              report->Summary()));
  const StatisticsReport normalization =
      ComparePretrained(setup->train->pipeline().statistics(), path,
                        trained_on.ok() ? trained_on->statistics : std::nullopt, *setup->model);
  const std::string place =
      absl::StrCat(loaded.PlaceOf("data.train.pipeline"), ": data.train.pipeline: ");
  if (!normalization.note.empty()) setup->notes.push_back(place + normalization.note);
  if (!normalization.warning.empty()) setup->warnings.push_back(place + normalization.warning);
  return absl::OkStatus();
}

// Downloads the pretrained weights and loads them into the model. Collective.
absl::Status TakePretrained(const LoadedConfig& loaded, Communicator* comm, Setup* setup) {
  const absl::StatusOr<std::string> path =
      Fetch(loaded.config.model().backbone().pretrained().checkpoint(), comm);
  const absl::Status status =
      path.ok() ? Annotate(LoadFrom(*path, loaded, setup), "model.backbone.pretrained")
                : path.status();
  return Agree(status, *comm);
}

// Returns rank 0's value of `resumes` on every rank. Collective.
absl::StatusOr<bool> Resumes(bool resumes, Communicator* comm) {
  double on_main[1] = {comm->rank() == 0 && resumes ? 1.0 : 0.0};
  FT_RETURN_IF_ERROR(comm->AllReduceSum(absl::MakeSpan(on_main)));
  return on_main[0] > 0;
}

// Returns one error with the messages of both; OK if both are OK.
absl::Status Both(const absl::Status& one, const absl::Status& other) {
  if (one.ok() || one == other) return other;
  if (other.ok()) return one;
  return absl::Status(one.code(), absl::StrCat(one.message(), "\n", other.message()));
}

}  // namespace

void AddNotes(const std::string& path, const StateDict& state, const LoadReport& report,
              Setup* setup) {
  for (const std::vector<std::string>* notes : {&state.notes, &report.notes}) {
    for (const std::string& note : *notes) setup->notes.push_back(absl::StrCat(path, ": ", note));
  }
  for (const std::string& warning : report.warnings) {
    setup->warnings.push_back(absl::StrCat(path, ": ", warning));
  }
}

absl::Status TakeWeights(const LoadedConfig& loaded, const std::string& path,
                         const std::string& key, const EvaluatedWeights& weights, Setup* setup) {
  FT_ASSIGN_OR_RETURN(const Value meta, ReadMeta(path));
  const absl::StatusOr<std::string> warning =
      CheckNetwork(meta, loaded,
                   "Set these fields as expected, or leave out --config and these --set: the "
                   "checkpoint carries its own config");
  FT_RETURN_IF_ERROR(Annotate(warning.status(), path));
  if (!warning->empty()) setup->warnings.push_back(absl::StrCat(path, ": ", *warning));
  // finetune's own runs validate the averaged weights and choose best.pth by them, so their
  // checkpoints are evaluated with the averaged weights. Other programs' checkpoints do not say
  // which weights were validated.
  WeightsChoice choice =
      NamesOwnWriter(meta) ? WeightsChoice::kAveragedIfAny : WeightsChoice::kUsual;
  if (!weights.weights.empty()) {
    choice = weights.weights == "ema" ? WeightsChoice::kAveraged : WeightsChoice::kRaw;
  }
  FT_ASSIGN_OR_RETURN(const StateDict state, ReadStateDict(path, key, choice));
  const absl::StatusOr<LoadReport> report = LoadClassifier(state, weights, setup->model.get());
  FT_RETURN_IF_ERROR(Annotate(report.status(), path));
  AddNotes(path, state, *report, setup);
  return absl::OkStatus();
}

void PrintNotes(const Setup& setup, const Communicator& comm) {
  if (comm.local_rank() == 0) {
    for (const std::string& warning : setup.host_warnings) {
      std::fprintf(stderr, "warning %s: %s\n", comm.host(comm.rank()).c_str(), warning.c_str());
    }
  }
  if (comm.rank() != 0) return;
  for (const std::string& note : setup.notes) std::fprintf(stderr, "info    %s\n", note.c_str());
  for (const std::string& warning : setup.warnings) {
    std::fprintf(stderr, "warning %s\n", warning.c_str());
  }
}

absl::StatusOr<Setup> PrepareModel(const LoadedConfig& loaded, const DataIdentity& trained_on,
                                   Communicator* comm) {
  Setup setup;
  setup.data = trained_on;
  FT_RETURN_IF_ERROR(
      CheckSameRun(loaded, /*data=*/"", DigestOf(trained_on, trained_on.statistics), comm));
  FT_RETURN_IF_ERROR(TakeDevice(loaded.config.runtime(), comm, &setup));
  FT_RETURN_IF_ERROR(MakeModel(loaded.config, comm, &setup));
  return setup;
}

absl::StatusOr<Setup> Prepare(const LoadedConfig& loaded, const EvaluatedCheckpoint* evaluated,
                              bool resumes, Trace* trace, Communicator* comm) {
  Setup setup;
  const ExperimentConfig& config = loaded.config;
  const RuntimeConfig& runtime = config.runtime();
  const bool for_training = evaluated == nullptr;

  std::vector<std::string> data_notes;
  OpenedData data = OpenData(config.data(), evaluated, &data_notes);
  RunFacts facts{comm->size(), FactsOf(data.train), FactsOf(data.val), std::nullopt};
  if (!data.identity.classes.empty()) {
    facts.classes = ClassFacts{static_cast<int>(data.identity.classes.size()), data.classes_from};
  }
  absl::StatusOr<std::vector<std::string>> warnings = ValidateConfig(loaded, facts);
  const auto placed = [&](const absl::Status& status, const std::string& name) {
    return Annotate(status, absl::StrCat(loaded.PlaceOf(name + ".path"), ": ", name));
  };
  absl::Status status = Both(warnings.status(), placed(data.train.status(), "data.train"));
  status = Both(status, placed(data.val.status(), "data.val"));
  status = Both(
      status,
      placed(MapLabels(&data, config.data().val().path(), for_training, &data_notes), "data.val"));
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  setup.warnings = *std::move(warnings);
  setup.data = std::move(data.identity);
  std::optional<PixelStatistics> trained;
  if (!for_training) trained = StatisticsFor(*evaluated, config.data(), &data_notes);
  FT_RETURN_IF_ERROR(
      CheckSameRun(loaded, absl::StrCat(DigestOf(data.train->get()), DigestOf(data.val->get())),
                   for_training ? "" : DigestOf(setup.data, trained), comm));

  FT_RETURN_IF_ERROR(TakeDevice(runtime, comm, &setup));

  LoaderOptions options;
  options.rank = comm->rank();
  options.world_size = comm->size();
  options.seed = runtime.seed();
  options.trace = trace;
  options.on_corrupt = config.data().on_corrupt();
  options.exact_decoding = config.data().exact_decoding();
  options.bfloat16 = setup.bfloat16;
  options.stored = options.pinned = !setup.device.is_cpu();
  const auto load = [&](std::unique_ptr<Dataset> dataset, const SplitConfig& split,
                        const char* name) -> std::unique_ptr<BatchLoader> {
    if (dataset == nullptr || !status.ok()) return nullptr;
    absl::StatusOr<std::unique_ptr<BatchLoader>> loader =
        BatchLoader::Create(std::move(dataset), split, options);
    status = Annotate(loader.status(), name);
    if (loader.ok() && options.stored && !(*loader)->stored()) {
      data_notes.push_back(absl::StrCat(name, ": images are prepared on the CPU, because ",
                                        (*loader)->manifest().encoded()
                                            ? "they are stored encoded"
                                            : "a step of the pipeline has no device side"));
    }
    return loader.ok() ? *std::move(loader) : nullptr;
  };
  setup.train = load(*std::move(data.train), config.data().train(), "data.train");
  if (setup.train != nullptr)
    setup.data.statistics = trained = setup.train->pipeline().statistics();
  options.training = false;
  // A pipeline without normalization has no mean and std to pass on.
  if (trained.has_value() && !trained->mean.empty()) options.statistics = trained;
  setup.val = load(*std::move(data.val), config.data().val(), "data.val");
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  if (setup.val != nullptr) {
    StatisticsReport report = CompareStatistics(
        config.data().val(), trained, for_training ? "data.train" : evaluated->path, *setup.val);
    if (!report.note.empty()) data_notes.push_back(std::move(report.note));
    if (!report.warning.empty()) {
      setup.warnings.push_back(absl::StrCat(loaded.PlaceOf("data.val.pipeline"),
                                            ": data.val.pipeline: ", report.warning));
    }
  }
  setup.notes.insert(setup.notes.end(), data_notes.begin(), data_notes.end());

  FT_RETURN_IF_ERROR(MakeModel(config, comm, &setup));
  status = Both(CheckInputs(loaded, "data.train", setup.train.get(), *setup.model),
                CheckInputs(loaded, "data.val", setup.val.get(), *setup.model));
  if (for_training) {
    status = Both(status, CheckPasses(loaded, *setup.train, *setup.model, comm->size()));
  }
  FT_RETURN_IF_ERROR(status);
  if (for_training) WeighClasses(config.model().head(), *setup.train, &setup);
  if (for_training && config.model().backbone().has_pretrained()) {
    FT_ASSIGN_OR_RETURN(const bool replaced, Resumes(resumes, comm));
    if (replaced) {
      setup.notes.emplace_back(
          "model.backbone.pretrained is not read: the run goes on from a checkpoint");
    } else {
      FT_RETURN_IF_ERROR(Annotate(TakePretrained(loaded, comm, &setup),
                                  loaded.PlaceOf("model.backbone.pretrained.checkpoint")));
    }
  }
  return setup;
}

}  // namespace finetune
