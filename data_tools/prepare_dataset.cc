// The program prepare_dataset. It turns images into the sharded HDF5 data sets that finetune reads.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data_tools/converters.h"
#include "data_tools/inspect.h"
#include "data_tools/man_page.h"
#include "src/base/exit_code.h"
#include "src/base/expand_home.h"
#include "src/base/flag_errors.h"
#include "src/base/man_page.h"
#include "src/base/print_output.h"
#include "src/base/version.h"
#include "src/observe/progress_line.h"

namespace finetune {
namespace {

int Cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// Set by the handler of SIGINT, SIGTERM and SIGHUP. It is a global variable because a signal
// handler cannot reach anything else.
std::atomic<bool> interrupted{false};

// Shows on stderr how many images are done. On a terminal it does so often, and always at the
// beginning and end of a split. Otherwise it prints a line every five seconds, so that quick work
// adds no lines to a log.
class ImageProgress {
 public:
  bool IsDue(bool at_edge = false) { return progress_.IsDue() || (at_edge && watched_); }
  void Show(absl::string_view what, int64_t done, int64_t total) {
    if (what != what_ || done < first_) {
      what_ = std::string(what);
      first_ = done;
      start_ = Clock::now();
    }
    std::string text = total == 0 ? absl::StrCat(what, " ", done, " files")
                                  : absl::StrCat(what, ": ", done, " of ", total, " images");
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    // After less than a second the rate would not be reliable.
    if (seconds > 1 && done > first_ && total > 0) {
      const double rate = static_cast<double>(done - first_) / seconds;
      absl::StrAppendFormat(&text, ", %.0f a second, %.0f s left", rate,
                            static_cast<double>(total - done) / rate);
    }
    progress_.Show(text);
  }
  void Keep() { progress_.Keep(); }
  void Clear() { progress_.Clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  // The current pass over the images: its name, and the image and time at which it began. The rate
  // is computed from these.
  std::string what_;
  int64_t first_ = 0;
  Clock::time_point start_;
  const bool watched_ = isatty(STDERR_FILENO) != 0;
  PacedProgress progress_{stderr, watched_, std::chrono::seconds(5)};
};

absl::Status Info(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const std::string text, DescribeDataset(folder));
  return PrintOutput(text);
}

absl::Status Verify(const std::string& folder) {
  ImageProgress line;
  const absl::StatusOr<int64_t> images =
      VerifyDataset(folder, Cores(), [&](int64_t done, int64_t total) {
        if (line.IsDue()) line.Show("read", done, total);
        return !interrupted;
      });
  line.Clear();
  FT_RETURN_IF_ERROR(images.status());
  return PrintOutput(
      absl::StrCat(folder, " is whole: ", *images, " images, all checksums right\n"));
}

// The exit codes and their meanings, for help and manual page.
ExitCodes Codes() {
  return {{kExitDone, "done"},
          {kExitFailed, "failed, or what verify checks is damaged"},
          {kExitUsage, "the flags, or files that they name, are wrong"}};
}

absl::Status WritePage(const CLI::App& app, const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const std::string expanded, ExpandHome(folder));
  FT_ASSIGN_OR_RETURN(const std::string paths, WriteManPages({PrepareManPage(app, Codes())},
                                                             expanded, kPrepareManFirstLine));
  return PrintOutput(paths);
}

int Main(int argc, char** argv) {
  CLI::App app("Turns images into the sharded HDF5 data sets that finetune reads.",
               "prepare_dataset");
  app.footer(absl::StrCat(
      "Examples:\n"
      "  prepare_dataset cifar10 --input=cifar-10-binary.tar.gz --output=data/cifar10\n"
      "  prepare_dataset image_folder --input=photos --output=data/photos\n"
      "  prepare_dataset verify data/cifar10\n"
      "prepare_dataset COMMAND --help says more of each.\n\n"
      "A data set is written whole or not at all. Exit codes:\n",
      absl::StrJoin(Codes(), "; ", absl::PairFormatter(" ")), "."));
  app.set_version_flag("--version", absl::StrCat("prepare_dataset ", kFinetuneVersion),
                       "Print the version");
  std::optional<std::string> man;
  app.add_option_function<std::string>(
         "--man",
         [&man](const std::string& folder) {
           man = folder;
           throw CLI::Success();  // as CLI11 does for --version: nothing else is asked for
         },
         "Write the manual page into this folder, for\nman -l DIR/prepare_dataset.1")
      ->type_name("DIR");
  app.require_subcommand(1, 1);
  app.get_formatter()->column_width(26);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  ConvertOptions options;
  FolderOptions folder;
  ListOptions list;
  MnistOptions digits;
  std::string orientation = "apply", on_bad = "stop", store = "auto", check = "decode";
  SyntheticOptions synthetic;
  std::string subject;
  options.progress = [line = ImageProgress()](const std::string& split, int64_t done,
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
                    "Files a split, no more than it has images (default 8)")
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
                  "Exchange rows and columns: turns EMNIST's images upright\n"
                  "(default: as they are stored, as torchvision has them)");
  CLI::App* image_folder = add("image_folder", "Images of any size and kind in a folder a class",
                               "Folder with train/CLASS/* and test/CLASS/* or val/CLASS/*,\n"
                               "or with CLASS/* alone; an archive of it (.tar, .tar.gz, .zip);\n"
                               "WebDataset's .tar (1.jpg with 1.cls), or a folder of them",
                               "--input=photos --output=data/photos");
  CLI::App* image_list = add("image_list", "Images that a list or a table (.csv) names",
                             "File with a line \"PATH LABEL\" an image, or a .csv with the\n"
                             "columns path, label and, for several splits, split",
                             "--input=train.txt --val=val.txt --root=photos --output=data/photos");
  image_list->add_option("--val", list.val, "The same for held-out images")->type_name("PATH");
  image_list
      ->add_option("--root", list.root, "Folder that paths are relative to (default: the list's)")
      ->type_name("DIR");
  image_list
      ->add_option("--classes", list.classes,
                   "File with the classes' names, one a line: the first is class 0\n"
                   "(default: the labels themselves)")
      ->type_name("PATH");
  for (CLI::App* const sub : {image_folder, image_list}) {
    sub->add_option("--store", store,
                    "raw: pixels of one size; encoded: as the files are, of any size;\n"
                    "auto: raw where all have one size of up to 64 a side, or with\n"
                    "--size, else encoded (default)")
        ->type_name("WORD")
        ->check(CLI::IsMember({"auto", "raw", "encoded"}));
    sub->add_option("--size", folder.size,
                    "Scale and cut every image to a square of this size\n"
                    "(default: images keep their sizes)")
        ->type_name("N")
        ->check(WholeNumber(1, 8192));
    sub->add_option("--max_side", folder.max_side,
                    "Scale images with a longer side down to this, and encode\n"
                    "them as JPEG; the others stay as they are")
        ->type_name("N")
        ->check(WholeNumber(1, 65500));
    sub->add_option("--quality", folder.quality, "Of JPEGs that are encoded here (default 90)")
        ->type_name("N")
        ->check(WholeNumber(1, 100));
    sub->add_option("--check", check,
                    "Of images that are stored encoded: decode decodes each\n"
                    "(default); header looks at its beginning and end, and takes\n"
                    "mean and std from some thousands of them")
        ->type_name("WORD")
        ->check(CLI::IsMember({"decode", "header"}));
    sub->add_option("--val_fraction", folder.val_fraction,
                    "Of each class, held out where the input has no splits\n(default 0.1)")
        ->type_name("X")
        ->check(NumberBetween(0, 0.5));
    sub->add_option("--orientation", orientation,
                    "apply: turn an image as its EXIF orientation says, as OpenCV\n"
                    "and mmpretrain do (default); ignore: leave it, as torchvision does")
        ->type_name("WORD")
        ->check(CLI::IsMember({"apply", "ignore"}));
    sub->add_option("--on_bad", on_bad,
                    "Where images cannot be read, stop: list them and write\n"
                    "nothing (default); skip: leave them out, list them in the manifest")
        ->type_name("WORD")
        ->check(CLI::IsMember({"stop", "skip"}));
  }
  CLI::App* made_up = add("synthetic", "Made-up images, for trying things out", nullptr,
                          "--classes=4 --train=1000 --test=200 --output=data/demo");
  made_up->add_option("--classes", synthetic.classes, "Orientations to tell apart (default 10)")
      ->type_name("N")
      ->check(WholeNumber(2, 1000));
  made_up->add_option("--train", synthetic.train, "Training images (default 2048)")
      ->type_name("N")
      ->check(WholeNumber(1, 1 << 30));
  made_up->add_option("--test", synthetic.test, "Held-out images (default 512)")
      ->type_name("N")
      ->check(WholeNumber(1, 1 << 30));
  made_up->add_option("--size", synthetic.size, "Side in pixels (default 32)")
      ->type_name("N")
      ->check(WholeNumber(8, 1024));
  made_up->add_option("--seed", synthetic.seed, "Other images for another seed (default 0)")
      ->type_name("N")
      ->check(WholeNumber(0));
  CLI::App* verify =
      app.add_subcommand("verify", "Read every image of a data set and check every file's hash");
  verify->add_option("DIR", subject, "The data set")->type_name("")->required();
  verify->footer("Example:\n  prepare_dataset verify data/cifar10");
  CLI::App* info = app.add_subcommand("info", "Say what a data set holds");
  info->add_option("DIR", subject, "The data set")->type_name("")->required();
  info->footer("Example:\n  prepare_dataset info data/cifar10");
  for (CLI::App* sub : app.get_subcommands({})) sub->group("Commands");

  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& error) {  // thrown for --help, --version and --man
    return man.has_value() ? ReportError(WritePage(app, *man), /*rank=*/0) : app.exit(error);
  } catch (const CLI::ParseError& error) {
    return ReportError(absl::InvalidArgumentError(ExplainFlags(app, arguments, error)), /*rank=*/0);
  }

  if (folder.max_side > 0 && (store == "raw" || folder.size > 0)) {
    return ReportError(
        absl::InvalidArgumentError("--max_side: is for images that keep their sizes; leave it out "
                                   "with --store=raw and with --size"),
        /*rank=*/0);
  }
  for (std::string* path :
       {&options.input, &options.output, &subject, &list.val, &list.root, &list.classes}) {
    absl::StatusOr<std::string> expanded = ExpandHome(*path);
    if (!expanded.ok()) return ReportError(expanded.status(), /*rank=*/0);
    *path = *std::move(expanded);
  }

  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = true; };
  // SA_RESETHAND: a second signal ends the program at once.
  action.sa_flags = SA_RESETHAND;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  // SIGXFSZ is ignored, so that a write beyond `ulimit -f` fails with an error like a write to a
  // full disk, and does not kill the program.
  signal(SIGXFSZ, SIG_IGN);
  absl::Status status;
  if (cifar10->parsed()) {
    status = ConvertCifar10(options);
  } else if (cifar100->parsed()) {
    status = ConvertCifar100(options);
  } else if (mnist->parsed()) {
    status = ConvertMnist(options, digits);
  } else if (image_folder->parsed() || image_list->parsed()) {
    folder.orientation = orientation == "ignore" ? Orientation::kIgnore : Orientation::kApply;
    folder.skip_bad = on_bad == "skip";
    folder.decode_all = check == "decode";
    folder.store = store == "raw"       ? Store::kRaw
                   : store == "encoded" ? Store::kEncoded
                                        : Store::kAuto;
    status = image_folder->parsed() ? ConvertImageFolder(options, folder)
                                    : ConvertImageList(options, list, folder);
  } else if (made_up->parsed()) {
    status = MakeSynthetic(options, synthetic);
  } else if (verify->parsed()) {
    status = Verify(subject);
  } else if (info->parsed()) {
    status = Info(subject);
  }
  if (status.ok() && !verify->parsed() && !info->parsed()) {
    // The data set is whole, also where nobody can read this line.
    PrintOutput(absl::StrCat("wrote ", options.output, "\n")).IgnoreError();
  }
  return ReportError(status, /*rank=*/0);
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
