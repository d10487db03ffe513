#include "src/predict/predict.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/ceil_divide.h"
#include "src/base/output_file.h"
#include "src/base/print_output.h"
#include "src/base/utf8.h"
#include "src/comm/agreement.h"
#include "src/observe/progress_line.h"
#include "src/predict/feature_file.h"
#include "src/predict/image_batches.h"
#include "src/predict/inputs.h"
#include "src/train/torch_error.h"

namespace finetune {
namespace {

// The ranks send their answers to rank 0 each time when each has predicted this many batches. More
// would delay the first rows, fewer would make ranks wait for slower ones more often.
constexpr int64_t kBatchesAMeeting = 4;

// Returns the images that the flags name. Called on rank 0 only.
absl::StatusOr<ImageList> ListInputs(const PredictFlags& flags) {
  FT_ASSIGN_OR_RETURN(ImageList list, ListImages(flags.paths));
  if (flags.list == "-") {
    AppendList(std::string(std::istreambuf_iterator<char>(std::cin), {}), &list);
  } else if (!flags.list.empty()) {
    const absl::StatusOr<std::string> text = ReadFile(flags.list);
    FT_RETURN_IF_ERROR(Annotate(text.status(), "--list"));
    AppendList(*text, &list);
  }
  if (list.images.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--list=", flags.list, ": found no path in it; expected one image's path a line"));
  }
  return list;
}

// The answers for one batch, as they are sent to rank 0.
struct Answers {
  std::string rows;      // the text of the rows
  std::string features;  // bytes of float32 [n, channels]; empty without PredictFlags::features
};

void AppendPart(const std::string& part, std::string* bytes) {
  const auto size = static_cast<uint64_t>(part.size());
  bytes->append(reinterpret_cast<const char*>(&size), sizeof(size));
  bytes->append(part);
}

std::string TakePart(absl::string_view* bytes) {
  uint64_t size = 0;
  std::memcpy(&size, bytes->data(), sizeof(size));
  std::string part(bytes->substr(sizeof(size), size));
  bytes->remove_prefix(sizeof(size) + size);
  return part;
}

// Writes the answers on rank 0.
class Output {
 public:
  static absl::StatusOr<Output> Create(const LoadedConfig& loaded, const PredictFlags& flags) {
    std::vector<std::string> inputs = flags.paths;
    inputs.insert(inputs.end(), {loaded.file, flags.model.checkpoint, flags.list});
    FT_RETURN_IF_ERROR(CheckOutputs({{"--out", flags.out}, {"--features_out", flags.features}},
                                    flags.force, inputs));
    Output output;
    if (!flags.out.empty()) {
      absl::StatusOr<AtomicFile> rows = AtomicFile::Create(flags.out);
      FT_RETURN_IF_ERROR(Annotate(rows.status(), "--out"));
      output.rows_.emplace(*std::move(rows));
    }
    if (!flags.features.empty()) {
      absl::StatusOr<std::unique_ptr<FeatureFile>> features = FeatureFile::Create(flags.features);
      FT_RETURN_IF_ERROR(Annotate(features.status(), "--features_out"));
      output.features_ = *std::move(features);
    }
    return output;
  }

  // Writes what the file of features says about its rows. Call it before features are written.
  absl::Status BeginFeatures(const FeatureRows& rows, int64_t channels) {
    return Annotate(features_->Begin(rows, channels), "--features_out");
  }

  absl::Status Write(const Answers& answers) {
    if (!answers.features.empty()) {
      FT_RETURN_IF_ERROR(Annotate(features_->Append(answers.features), "--features_out"));
    }
    if (rows_.has_value()) return Annotate(rows_->Write(answers.rows), "--out");
    return PrintOutput(answers.rows);
  }

  absl::Status Commit() {
    if (rows_.has_value()) FT_RETURN_IF_ERROR(Annotate(rows_->Commit(), "--out"));
    if (features_ != nullptr) {
      FT_RETURN_IF_ERROR(Annotate(features_->Commit(), "--features_out"));
    }
    return absl::OkStatus();
  }

 private:
  std::optional<AtomicFile> rows_;
  std::unique_ptr<FeatureFile> features_;
};

// Computes the answers for batches.
class Predictor {
 public:
  Predictor(const PredictFlags& flags, const ImageList* list, ServedModel* served)
      : flags_(flags),
        list_(*list),
        served_(*served),
        guesses_(std::min<int64_t>(flags.top_k, static_cast<int64_t>(served->class_names.size()))) {
  }

  int64_t guesses() const { return guesses_; }
  // Returns the number of images with an error so far.
  int64_t bad() const { return bad_; }

  Answers Answer(const ImageBatches::Batch& batch) {
    const at::NoGradGuard no_grad;
    Classifier& model = *served_.setup.model;
    const at::Tensor features = model.Vectors(batch.images.to(served_.setup.device), {});
    // Computed in the same way as by `finetune evaluate`, so that both give the same numbers.
    const at::Tensor probabilities =
        at::log_softmax(model.Logits(features, {}), 1).exp().to(at::kCPU);
    const auto [best, labels] = probabilities.topk(guesses_, 1);
    const at::Tensor values = best.contiguous(), outputs = labels.contiguous();
    Answers answers;
    for (size_t i = 0; i < batch.errors.size(); ++i) {
      PredictionRow row;
      row.path = list_.images[static_cast<size_t>(batch.first) + i].path;
      row.error = batch.errors[i];
      for (int64_t k = 0; row.error.empty() && k < guesses_; ++k) {
        const int64_t at = static_cast<int64_t>(i) * guesses_ + k;
        const int64_t label = outputs.const_data_ptr<int64_t>()[at];
        const float probability = values.const_data_ptr<float>()[at];
        if (!std::isfinite(probability)) row.error = "the model's answer is not a finite number";
        row.guesses.push_back(
            {served_.class_names[static_cast<size_t>(label)], label, probability});
      }
      if (!row.error.empty()) ++bad_;
      answers.rows += ToLine(row, flags_.format, guesses_);
    }
    if (!flags_.features.empty()) AppendFeatures(batch, features, &answers.features);
    return answers;
  }

 private:
  static void AppendFeatures(const ImageBatches::Batch& batch, const at::Tensor& features,
                             std::string* bytes) {
    at::Tensor values = features.to(at::kCPU, at::kFloat).contiguous();
    for (size_t i = 0; i < batch.errors.size(); ++i) {
      if (batch.errors[i].empty()) continue;
      values[static_cast<int64_t>(i)].fill_(std::numeric_limits<float>::quiet_NaN());
    }
    bytes->assign(reinterpret_cast<const char*>(values.const_data_ptr<float>()),
                  static_cast<size_t>(values.nbytes()));
  }

  const PredictFlags& flags_;
  const ImageList& list_;
  ServedModel& served_;
  const int64_t guesses_;
  int64_t bad_ = 0;
};

// Sends the answers of this rank's batches to rank 0, which writes the answers of all ranks in the
// order of the list. Collective. `status`: an error of this rank since the last call, or OK; an
// error is returned on every rank. `output`: null on other ranks than 0.
absl::Status Meet(const absl::Status& status, const std::vector<Answers>& own, Output* output,
                  Communicator* comm) {
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  absl::Status written;
  if (comm->size() == 1) {
    for (const Answers& answers : own) {
      if (written.ok()) written = output->Write(answers);
    }
    return written;
  }
  std::string bytes;
  for (const Answers& answers : own) {
    AppendPart(answers.rows, &bytes);
    AppendPart(answers.features, &bytes);
  }
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> parts, comm->AllGather(bytes));
  std::vector<absl::string_view> left(parts.begin(), parts.end());
  for (int64_t i = 0; output != nullptr && i < kBatchesAMeeting; ++i) {
    for (absl::string_view& part : left) {
      if (part.empty() || !written.ok()) continue;
      Answers answers;
      answers.rows = TakePart(&part);
      answers.features = TakePart(&part);
      written = output->Write(answers);
    }
  }
  return Agree(written, *comm);
}

}  // namespace

absl::StatusOr<int64_t> RunPredict(const LoadedConfig& loaded, const PredictFlags& flags,
                                   Communicator* comm) {
  const bool main = comm->rank() == 0;
  std::optional<Output> output;
  std::string bytes;
  absl::Status status;
  if (main) {
    const absl::StatusOr<ImageList> listed = ListInputs(flags);
    absl::StatusOr<Output> created = Output::Create(loaded, flags);
    status = listed.ok() ? created.status() : listed.status();
    if (listed.ok()) bytes = Serialize(*listed);
    if (created.ok()) output.emplace(*std::move(created));
  }
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  FT_RETURN_IF_ERROR(comm->Broadcast(bytes, 0));
  const ImageList list = Deserialize(bytes);
  const auto images = static_cast<int64_t>(list.images.size());
  FT_ASSIGN_OR_RETURN(ServedModel served, LoadServedModel(loaded, flags.model, comm));

  const SplitConfig& val = loaded.config.data().val();
  ImageBatchOptions options;
  options.rank = comm->rank();
  options.world_size = comm->size();
  options.batch_size = flags.batch_size;
  options.threads = std::max(1, val.workers());
  options.prefetch = std::max(1, val.prefetch());
  options.seed = loaded.config.runtime().seed();
  options.bfloat16 = served.setup.bfloat16;
  options.pinned = !served.setup.device.is_cpu();
  ImageBatches batches(&list, &served.pipeline, options);
  Predictor predictor(flags, &list, &served);

  if (main) status = output->Write({HeaderLine(flags.format, predictor.guesses()), ""});
  ProgressLine line(stderr, main && !flags.out.empty() && IsWatched());
  bool headed = flags.features.empty() || !main;
  // Rank 0 has the most batches. All ranks call Meet() as often as rank 0, even without batches.
  const int64_t all = CeilDivide(images, options.batch_size);
  const int64_t most = CeilDivide(all, comm->size());
  const int64_t meeting = comm->size() == 1 ? 1 : kBatchesAMeeting;
  for (int64_t begin = 0; begin < most; begin += meeting) {
    std::vector<Answers> own;
    for (int64_t i = begin; i < std::min(begin + meeting, batches.size()) && status.ok(); ++i) {
      status = CatchTorch([&]() -> absl::Status {
        own.push_back(predictor.Answer(batches.Next()));
        return absl::OkStatus();
      });
    }
    if (!headed && status.ok()) {
      const size_t rows = static_cast<size_t>(std::min(options.batch_size, images));
      const auto channels = static_cast<int64_t>(own[0].features.size() / sizeof(float) / rows);
      FeatureRows about;
      for (const ImageInput& image : list.images) about.paths.push_back(ValidUtf8(image.path));
      about.class_names = served.class_names;
      status = output->BeginFeatures(about, channels);
      headed = true;
    }
    status = Meet(status, own, main ? &*output : nullptr, comm);
    FT_RETURN_IF_ERROR(status);
    const int64_t done = std::min(images, (begin + meeting) * comm->size() * options.batch_size);
    line.Draw(absl::StrFormat("predicting [%d/%d]", done, images));
  }
  line.Clear();
  if (main) status = output->Commit();
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  double bad[1] = {static_cast<double>(predictor.bad())};
  FT_RETURN_IF_ERROR(comm->AllReduceSum(absl::MakeSpan(bad)));
  return static_cast<int64_t>(bad[0]);
}

}  // namespace finetune
