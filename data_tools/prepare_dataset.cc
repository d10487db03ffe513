// prepare_dataset: turns pictures into the sharded HDF5 data sets that finetune reads.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data_tools/converters.h"
#include "src/base/annotate.h"
#include "src/base/expand_home.h"
#include "src/base/flag_errors.h"
#include "src/base/sha256.h"
#include "src/base/version.h"
#include "src/data/manifest.h"
#include "src/data/shard_reader.h"
#include "src/observe/progress_line.h"

namespace finetune {
namespace {

// Set by SIGINT and SIGTERM; a handler can reach nothing but what is static.
std::atomic<bool> interrupted{false};

// Says on standard error how many pictures are done: on a terminal often, and at a split's
// beginning and end; else every five seconds, so that a log gets no lines about quick work.
class PictureProgress {
 public:
  bool IsDue(bool at_edge = false) { return progress_.IsDue() || (at_edge && watched_); }
  void Show(absl::string_view what, int64_t done, int64_t total) {
    progress_.Show(absl::StrCat(what, ": ", done, " of ", total, " pictures"));
  }
  void Keep() { progress_.Keep(); }
  void Clear() { progress_.Clear(); }

 private:
  const bool watched_ = isatty(STDERR_FILENO) != 0;
  PacedProgress progress_{stderr, watched_, std::chrono::seconds(5)};
};

// Errors: those of ReadManifest; InvalidArgument for a file.
absl::StatusOr<DatasetManifest> ReadPrepared(const std::string& folder) {
  std::error_code error;
  if (std::filesystem::is_regular_file(folder, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": found a file; expected the folder that prepare_dataset wrote"));
  }
  return ReadManifest(folder);
}

absl::Status Info(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const DatasetManifest manifest, ReadPrepared(folder));
  std::printf("%s, from %s\n", manifest.name().c_str(), manifest.source().c_str());
  std::printf("pictures  %dx%d (height x width), %d channel%s\n", manifest.height(),
              manifest.width(), manifest.channels(), manifest.channels() == 1 ? "" : "s");
  const auto list = [](const auto& values) {
    return absl::StrJoin(values, " ",
                         [](std::string* out, double v) { absl::StrAppendFormat(out, "%.3f", v); });
  };
  std::printf("mean      %s\nstd       %s\n", list(manifest.mean()).c_str(),
              list(manifest.std()).c_str());
  std::printf("classes   %d: %s\n", manifest.class_name_size(),
              absl::StrJoin(manifest.class_name(), ", ").c_str());
  for (const DatasetSplit& split : manifest.split()) {
    std::printf("%-9s %lld pictures in %d shard%s\n", split.name().c_str(),
                static_cast<long long>(PictureCount(split)), split.shard_size(),
                split.shard_size() == 1 ? "" : "s");
  }
  if (manifest.has_skipped()) {
    std::printf("left out  %lld pictures that could not be read:\n",
                static_cast<long long>(manifest.skipped().count()));
    for (const std::string& file : manifest.skipped().file()) std::printf("  %s\n", file.c_str());
  }
  return absl::OkStatus();
}

// `read` is called after each picture.
absl::Status VerifyShard(const std::string& folder, const DatasetShard& entry,
                         const DatasetManifest& manifest, const std::function<void()>& read) {
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<ShardReader> shard,
                      ShardReader::Open(folder, entry, manifest));
  std::vector<uint8_t> pixels(PictureBytes(manifest));
  for (int64_t i = 0; i < shard->size(); ++i) {
    FT_RETURN_IF_ERROR(shard->Read(i, pixels.data()));
    read();
    if (interrupted) return absl::CancelledError("stopped");
  }
  const std::string path = absl::StrCat(folder, "/", entry.file());
  FT_ASSIGN_OR_RETURN(const std::string sum, Sha256OfFile(path));
  if (sum == absl::AsciiStrToLower(entry.sha256())) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path, ": its SHA-256 is ", sum, "; the manifest says ", entry.sha256()));
}

// Reads everything and reports everything that is wrong, not the first.
absl::Status Verify(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const DatasetManifest manifest, ReadPrepared(folder));
  std::vector<std::string> errors;
  int64_t pictures = 0, done = 0;
  for (const DatasetSplit& split : manifest.split()) pictures += PictureCount(split);
  PictureProgress line;
  const auto read = [&] {
    ++done;
    if (line.IsDue()) line.Show("read", done, pictures);
  };
  for (const DatasetSplit& split : manifest.split()) {
    for (const DatasetShard& shard : split.shard()) {
      absl::Status status = VerifyShard(folder, shard, manifest, read);
      if (absl::IsCancelled(status)) return status;
      if (!status.ok()) errors.emplace_back(status.message());
    }
  }
  line.Clear();
  if (!errors.empty()) return absl::DataLossError(absl::StrJoin(errors, "\n"));
  std::printf("%s is whole: %lld pictures, all checksums right\n", folder.c_str(),
              static_cast<long long>(pictures));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Turns pictures into the sharded HDF5 data sets that finetune reads.",
               "prepare_dataset");
  app.footer(
      "Examples:\n"
      "  prepare_dataset cifar10 --input=cifar-10-binary.tar.gz --output=data/cifar10\n"
      "  prepare_dataset image_folder --input=photos --size=224 --output=data/photos\n"
      "  prepare_dataset verify data/cifar10\n"
      "prepare_dataset COMMAND --help says more of each.\n\n"
      "A data set is written whole or not at all. Exit codes: 0 done; 1 failed, or what verify "
      "checks\nis damaged; 2 the flags are wrong.");
  app.set_version_flag("--version", absl::StrCat("prepare_dataset ", kFinetuneVersion),
                       "Print the version");
  app.require_subcommand(1, 1);
  app.get_formatter()->column_width(26);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  ConvertOptions options;
  FolderOptions folder;
  MnistOptions digits;
  std::string orientation = "apply", on_bad = "stop";
  SyntheticOptions synthetic;
  std::string subject;
  options.progress = [line = PictureProgress()](const std::string& split, int64_t done,
                                                int64_t total) mutable {
    if (line.IsDue(/*at_edge=*/done == 1 || done == total)) line.Show(split, done, total);
    if (done == total || interrupted) line.Keep();
    return !interrupted;
  };
  options.warn = [](const std::string& warning) {
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  };
  const auto add = [&](const char* name, const char* what, const char* input, const char* example) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->footer(absl::StrCat("Example:\n  prepare_dataset ", name, " ", example));
    if (input != nullptr) {
      sub->add_option("--input", options.input, input)->type_name("PATH")->required();
    }
    sub->add_option("--output", options.output, "Folder to write")->type_name("DIR")->required();
    sub->add_option("--shards", options.shards,
                    "Files a split, no more than it has pictures (default 8)")
        ->type_name("N")
        ->check(WholeNumber(1, 99999));
    sub->add_flag("--force", options.force, "Replace a data set that the output holds");
    return sub;
  };
  CLI::App* cifar10 = add("cifar10", "CIFAR-10, binary or Python version",
                          "Folder with data_batch_1.bin or data_batch_1 and the others,\n"
                          "or an archive of it (.tar.gz)",
                          "--input=cifar-10-binary.tar.gz --output=data/cifar10");
  CLI::App* cifar100 = add("cifar100", "CIFAR-100, binary or Python version (fine labels)",
                           "Folder with train.bin and test.bin, or train and test, or an\n"
                           "archive of it (.tar.gz)",
                           "--input=cifar-100-binary.tar.gz --output=data/cifar100");
  CLI::App* mnist = add("mnist", "MNIST's idx files, EMNIST's, and their like",
                        "Folder with train-images-idx3-ubyte and the others, plain\n"
                        "or .gz, or an archive of it",
                        "--input=mnist --output=data/mnist");
  mnist
      ->add_option("--emnist", digits.emnist,
                   "Which of EMNIST's splits, where several are there: balanced,\n"
                   "byclass, bymerge, digits, letters or mnist")
      ->type_name("SPLIT")
      ->check(CLI::IsMember({"balanced", "byclass", "bymerge", "digits", "letters", "mnist"}));
  mnist->add_flag("--transpose", digits.transpose,
                  "Exchange rows and columns: turns EMNIST's pictures upright\n"
                  "(default: as they are stored, as torchvision has them)");
  CLI::App* image_folder = add("image_folder", "JPEG and PNG files in a folder a class",
                               "Folder with train/CLASS/* and test/CLASS/* or val/CLASS/*,\n"
                               "or with CLASS/* alone",
                               "--input=photos --size=224 --output=data/photos");
  image_folder
      ->add_option("--size", folder.size,
                   "Scale and cut every picture to a square of this size\n"
                   "(default: all must have one size)")
      ->type_name("N")
      ->check(WholeNumber(1, 8192));
  image_folder
      ->add_option("--val_fraction", folder.val_fraction,
                   "Of each class, held out where there is no train/\n(default 0.1)")
      ->type_name("X")
      ->check(NumberBetween(0, 0.5));
  image_folder
      ->add_option("--orientation", orientation,
                   "apply: turn a picture as its EXIF orientation says, as OpenCV\n"
                   "and mmpretrain do (default); ignore: leave it, as torchvision does")
      ->type_name("WORD")
      ->check(CLI::IsMember({"apply", "ignore"}));
  image_folder
      ->add_option("--on_bad", on_bad,
                   "Where pictures cannot be read, stop: list them and write\n"
                   "nothing (default); skip: leave them out, list them in the manifest")
      ->type_name("WORD")
      ->check(CLI::IsMember({"stop", "skip"}));
  CLI::App* made_up = add("synthetic", "Made-up pictures, for trying things out", nullptr,
                          "--classes=4 --train=1000 --test=200 --output=data/demo");
  made_up->add_option("--classes", synthetic.classes, "Orientations to tell apart (default 10)")
      ->type_name("N")
      ->check(WholeNumber(2, 1000));
  made_up->add_option("--train", synthetic.train, "Training pictures (default 2048)")
      ->type_name("N")
      ->check(WholeNumber(1, 1 << 30));
  made_up->add_option("--test", synthetic.test, "Held-out pictures (default 512)")
      ->type_name("N")
      ->check(WholeNumber(1, 1 << 30));
  made_up->add_option("--size", synthetic.size, "Side in pixels (default 32)")
      ->type_name("N")
      ->check(WholeNumber(8, 1024));
  made_up->add_option("--seed", synthetic.seed, "Other pictures for another seed (default 0)")
      ->type_name("N")
      ->check(WholeNumber(0));
  CLI::App* verify =
      app.add_subcommand("verify", "Read every picture of a data set and check every file's hash");
  verify->add_option("DIR", subject, "The data set")->type_name("")->required();
  verify->footer("Example:\n  prepare_dataset verify data/cifar10");
  CLI::App* info = app.add_subcommand("info", "Say what a data set holds");
  info->add_option("DIR", subject, "The data set")->type_name("")->required();
  info->footer("Example:\n  prepare_dataset info data/cifar10");
  for (CLI::App* sub : app.get_subcommands({})) sub->group("Commands");

  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& error) {  // --help and --version
    return app.exit(error);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s\n", ExplainFlags(app, arguments, error).c_str());
    return 2;
  }

  for (std::string* path : {&options.input, &options.output, &subject}) {
    absl::StatusOr<std::string> expanded = ExpandHome(*path);
    if (!expanded.ok()) {
      std::fprintf(stderr, "%s\n", std::string(expanded.status().message()).c_str());
      return 2;
    }
    *path = *std::move(expanded);
  }

  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = true; };
  // The second one ends the program wherever it is.
  action.sa_flags = SA_RESETHAND;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  // A write beyond `ulimit -f` then fails like one to a full disk.
  signal(SIGXFSZ, SIG_IGN);
  absl::Status status;
  if (cifar10->parsed()) {
    status = ConvertCifar10(options);
  } else if (cifar100->parsed()) {
    status = ConvertCifar100(options);
  } else if (mnist->parsed()) {
    status = ConvertMnist(options, digits);
  } else if (image_folder->parsed()) {
    folder.orientation = orientation == "ignore" ? Orientation::kIgnore : Orientation::kApply;
    folder.skip_bad = on_bad == "skip";
    status = ConvertImageFolder(options, folder);
  } else if (made_up->parsed()) {
    status = MakeSynthetic(options, synthetic);
  } else if (verify->parsed()) {
    status = Verify(subject);
  } else if (info->parsed()) {
    status = Info(subject);
  }
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  if (!verify->parsed() && !info->parsed()) std::printf("wrote %s\n", options.output.c_str());
  return 0;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
