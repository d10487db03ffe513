// Measures how many images a second can be read, sent to the device and prepared there, without a
// network. A training run cannot process more.
//
//   device_pipeline_alone --config=FILE [--set=PATH=VALUE ...] [--device=cuda|cpu] [--seconds=3]
//                         [--json=FILE] [--save=FILE]
//
// The batches are those of data.train in runtime.precision, as in a run on a GPU. Prints three
// rates: of reading alone; of reading, sending and preparing; and of preparing the same batch,
// which is already on the device. Also prints the loader's memory: the growth of the process's peak
// memory while it reads, without the batches' own tensors.
#include <ATen/Context.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/atomic_file.h"
#include "src/config/config.h"
#include "src/config/search.h"
#include "src/data/loader.h"
#include "src/host/gpus.h"
#include "src/train/device.h"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string config, device = "cuda", json, save;
  std::vector<std::string> set, config_path;
  double seconds = 3;
};

absl::StatusOr<std::unique_ptr<BatchLoader>> Load(const ExperimentConfig& config,
                                                  at::Device device) {
  const SplitConfig& split = config.data().train();
  FT_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> data, Dataset::Open(split.path(), split.split()));
  LoaderOptions options;
  options.seed = config.runtime().seed();
  options.bfloat16 = config.runtime().precision() != RuntimeConfig::FLOAT32;
  options.on_corrupt = config.data().on_corrupt();
  options.exact_decoding = config.data().exact_decoding();
  options.stored = true;
  options.pinned = !device.is_cpu();
  return BatchLoader::Create(std::move(data), split, options);
}

// Calls `batch` again and again for about `seconds` and returns the images per second. `batch`
// prepares a batch and returns its number of images.
absl::StatusOr<double> Rate(double seconds, at::Device device,
                            const std::function<absl::StatusOr<int64_t>()>& batch) {
  constexpr int kWarmUp = 5;
  for (int i = 0; i < kWarmUp; ++i) FT_RETURN_IF_ERROR(batch().status());
  DevicePoint(device).Wait();
  const Clock::time_point start = Clock::now();
  const auto since = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  int64_t images = 0;
  while (since() < seconds) {
    FT_ASSIGN_OR_RETURN(const int64_t n, batch());
    images += n;
  }
  DevicePoint(device).Wait();
  return static_cast<double>(images) / since();
}

absl::Status Measure(const Flags& flags) {
  at::Device device = at::kCPU;
  std::string name = "the CPU";
  if (flags.device == "cuda") {
    const Gpus gpus = VisibleGpus();
    if (gpus.count == 0) {
      return absl::FailedPreconditionError(absl::StrCat("--device=cuda: ", gpus.why_none));
    }
    at::globalContext().lazyInitDevice(at::kCUDA);
    device = at::Device(at::kCUDA, 0);
    name = gpus.name;
  }
  LoadOptions load;
  load.search_path = ConfigSearchPath(flags.config_path);
  load.overrides = flags.set;
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, LoadConfig(flags.config, load));

  nlohmann::json rates;
  double loader_mib = 0;
  {
    const int64_t before = PeakMemoryMebibytes(at::kCPU);
    FT_ASSIGN_OR_RETURN(const auto loader, Load(loaded.config, device));
    FT_ASSIGN_OR_RETURN(const Batch first, loader->Next());
    if (!flags.save.empty()) {
      const at::Tensor images = first.images.to(at::kFloat).contiguous();
      FT_RETURN_IF_ERROR(WriteFileAtomically(
          flags.save,
          absl::string_view(static_cast<const char*>(images.const_data_ptr()), images.nbytes())));
    }
    const double batch_mib = static_cast<double>(first.images.nbytes()) / (1 << 20);
    FT_ASSIGN_OR_RETURN(rates["read"],
                        Rate(flags.seconds, at::kCPU, [&]() -> absl::StatusOr<int64_t> {
                          FT_ASSIGN_OR_RETURN(const Batch batch, loader->Next());
                          return batch.labels.size(0);
                        }));
    loader_mib = static_cast<double>(PeakMemoryMebibytes(at::kCPU) - before) -
                 batch_mib * (loaded.config.data().train().prefetch() + 1);
  }
  FT_ASSIGN_OR_RETURN(const auto loader, Load(loaded.config, device));
  DeviceBatches batches(loader.get(), device);
  Batch last;
  FT_ASSIGN_OR_RETURN(rates["read_send_prepare"],
                      Rate(flags.seconds, device, [&]() -> absl::StatusOr<int64_t> {
                        FT_ASSIGN_OR_RETURN(last, batches.Next());
                        batches.Images(last);
                        return last.labels.size(0);
                      }));
  FT_ASSIGN_OR_RETURN(rates["prepare"],
                      Rate(flags.seconds, device, [&]() -> absl::StatusOr<int64_t> {
                        batches.Images(last);
                        return last.labels.size(0);
                      }));
  std::printf(
      "%s: %.0f images/s read; %.0f read, sent and prepared; %.0f prepared of a batch that is "
      "there; the loader takes %.0f MiB beside its batches\n",
      name.c_str(), rates["read"].get<double>(), rates["read_send_prepare"].get<double>(),
      rates["prepare"].get<double>(), loader_mib);
  if (flags.json.empty()) return absl::OkStatus();
  const nlohmann::json result = {
      {"device", name}, {"images_per_s", rates}, {"loader_mib", loader_mib}};
  return WriteFileAtomically(flags.json, result.dump(1) + "\n");
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("How fast images can be read, sent to the device and prepared there.");
  app.add_option("--config", flags.config, "As finetune's")->required();
  app.add_option("--config_path", flags.config_path, "As finetune's");
  app.add_option("--set", flags.set, "As finetune's")->take_all();
  app.add_option("--device", flags.device, "cuda or cpu (default cuda)")
      ->check(CLI::IsMember({"cuda", "cpu"}));
  app.add_option("--seconds", flags.seconds, "For each rate (default 3)")
      ->check(CLI::Range(0.01, 600.0));
  app.add_option("--save", flags.save,
                 "Write the first batch's images here, float32 [n, channels, height, width]");
  app.add_option("--json", flags.json, "Also write the figures here");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Measure(flags);
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
