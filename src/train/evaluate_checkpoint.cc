#include "src/train/evaluate_checkpoint.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logaddexp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/comm/agreement.h"
#include "src/metrics/accuracy.h"
#include "src/model/loss.h"
#include "src/observe/progress_line.h"
#include "src/observe/score_file.h"
#include "src/train/data_identity.h"
#include "src/train/evaluate.h"
#include "src/train/setup.h"

namespace finetune {
namespace {

// The number of bytes of scores that all ranks together exchange in one all-gather.
constexpr size_t kScoreBytes = size_t{32} << 20;

// The predictions for this rank's images, in the order in which they were evaluated.
struct Answers {
  struct Answer {
    int64_t index;  // the image's index in the split
    Prediction prediction;
  };
  std::vector<Answer> answers;
  std::vector<float> scores;  // [answers.size(), classes]; empty if no score file is written
};

// Returns log probabilities, [n, classes] float32. With `flip` they are the logarithms of the mean
// of an image's probabilities and those of its mirror image.
at::Tensor LogProbabilities(const at::Tensor& images, bool flip, Classifier* model) {
  constexpr int64_t kColumns = 3;
  const at::Tensor own = at::log_softmax(model->Forward(images, {.training = false}), 1);
  if (!flip) return own;
  const at::Tensor mirrored =
      at::log_softmax(model->Forward(images.flip({kColumns}), {.training = false}), 1);
  return at::logaddexp(own, mirrored) - std::log(2.0);
}

// Appends a batch's predictions to `answers`. `scores`: log probabilities, which give the same loss
// and ranks as logits. `keep_scores`: also appends the probabilities.
void AddAnswers(const Batch& batch, const at::Tensor& scores, double label_smoothing,
                bool keep_scores, Answers* answers) {
  const auto [confidences, guesses] = scores.max(1);
  const at::Tensor confidence = confidences.exp().to(at::kCPU), guess = guesses.to(at::kCPU);
  const at::Tensor labels = batch.labels.to(at::kCPU), ranks = LabelRanks(scores, batch.labels);
  const at::Tensor losses =
      CrossEntropy(scores, batch.labels, label_smoothing).to(at::kCPU).contiguous();
  for (int64_t i = 0; i < labels.numel(); ++i) {
    Answers::Answer& answer = answers->answers.emplace_back();
    answer.index = batch.indices[i];
    answer.prediction.label = static_cast<int32_t>(labels.const_data_ptr<int64_t>()[i]);
    answer.prediction.guess = static_cast<int32_t>(guess.const_data_ptr<int64_t>()[i]);
    answer.prediction.rank = static_cast<int32_t>(ranks.const_data_ptr<int64_t>()[i]);
    answer.prediction.confidence = confidence.const_data_ptr<float>()[i];
    answer.prediction.loss = losses.const_data_ptr<float>()[i];
  }
  if (!keep_scores) return;
  const at::Tensor probabilities = scores.exp().to(at::kCPU).contiguous();
  const float* values = probabilities.const_data_ptr<float>();
  answers->scores.insert(answers->scores.end(), values, values + probabilities.numel());
}

// Gathers the predictions of all ranks into `result`, by ascending index. `images`: the number of
// images in the split. Collective.
absl::Status GatherPredictions(const Answers& own, int64_t images, Communicator* comm,
                               CheckpointEvaluation* result) {
  constexpr size_t kBytes = sizeof(Answers::Answer);
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                      comm->AllGather({reinterpret_cast<const char*>(own.answers.data()),
                                       own.answers.size() * kBytes}));
  std::vector<std::optional<Prediction>> by_index(static_cast<size_t>(images));
  for (const std::string& part : parts) {
    for (size_t at = 0; at + kBytes <= part.size(); at += kBytes) {
      Answers::Answer answer;
      std::memcpy(&answer, &part[at], kBytes);
      by_index[answer.index] = answer.prediction;
    }
  }
  for (int64_t index = 0; index < images; ++index) {
    if (!by_index[index].has_value()) continue;
    result->predictions.push_back(*by_index[index]);
    result->indices.push_back(index);
  }
  result->damaged = images - static_cast<int64_t>(result->indices.size());
  return absl::OkStatus();
}

// Writes the scores of all images on rank 0, by ascending index. The ranks all-gather a limited
// part of the scores at a time, so that no rank ever holds all of them. Collective.
absl::Status WriteScores(const Answers& own, const CheckpointEvaluation& result,
                         const std::string& path, Communicator* comm) {
  std::optional<ScoreFile> file;
  absl::Status status;
  if (comm->rank() == 0) {
    absl::StatusOr<ScoreFile> created = ScoreFile::Create(
        path, result.class_names, static_cast<int64_t>(result.predictions.size()));
    status = created.status();
    if (created.ok()) file.emplace(*std::move(created));
  }
  std::vector<size_t> order(own.answers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return own.answers[a].index < own.answers[b].index; });
  const size_t classes = result.class_names.size(), score_bytes = classes * sizeof(float);
  const size_t row_bytes = sizeof(int64_t) + score_bytes;
  const size_t rows = std::max<size_t>(1, kScoreBytes / row_bytes);
  auto next = order.begin();
  std::vector<float> scores;
  for (size_t begin = 0; begin < result.indices.size(); begin += rows) {
    const size_t end = std::min(begin + rows, result.indices.size());
    std::string bytes;
    for (; next != order.end() && own.answers[*next].index <= result.indices[end - 1]; ++next) {
      bytes.append(reinterpret_cast<const char*>(&own.answers[*next].index), sizeof(int64_t));
      bytes.append(reinterpret_cast<const char*>(&own.scores[*next * classes]), score_bytes);
    }
    FT_ASSIGN_OR_RETURN(const std::vector<std::string> parts, comm->AllGather(bytes));
    if (!file.has_value() || !status.ok()) continue;
    scores.resize((end - begin) * classes);
    for (const std::string& part : parts) {
      for (size_t at = 0; at + row_bytes <= part.size(); at += row_bytes) {
        int64_t index = 0;
        std::memcpy(&index, &part[at], sizeof(index));
        const auto place =
            std::lower_bound(result.indices.begin() + static_cast<int64_t>(begin),
                             result.indices.begin() + static_cast<int64_t>(end), index) -
            result.indices.begin() - static_cast<int64_t>(begin);
        std::memcpy(&scores[static_cast<size_t>(place) * classes], &part[at + sizeof(index)],
                    score_bytes);
      }
    }
    for (size_t i = begin; i < end && status.ok(); ++i) {
      status = file->Add(result.indices[i], result.predictions[i],
                         {&scores[(i - begin) * classes], classes});
    }
  }
  if (file.has_value() && status.ok()) status = file->Commit();
  return Agree(Annotate(status, "--scores"), *comm);
}

}  // namespace

absl::StatusOr<CheckpointEvaluation> EvaluateCheckpoint(const LoadedConfig& loaded,
                                                        const EvaluateOptions& options,
                                                        Communicator* comm) {
  absl::StatusOr<DataIdentity> trained_on = ReadDataIdentityOf(options.checkpoint);
  FT_RETURN_IF_ERROR(Agree(trained_on.status(), *comm));
  const EvaluatedCheckpoint evaluated{options.checkpoint, *std::move(trained_on)};
  FT_ASSIGN_OR_RETURN(Setup setup,
                      Prepare(loaded, &evaluated, /*resumes=*/false, /*trace=*/nullptr, comm));
  if (setup.val == nullptr) {
    return absl::InvalidArgumentError("data.val: is not set; there is nothing to evaluate on");
  }
  FT_RETURN_IF_ERROR(
      Agree(TakeWeights(loaded, options.checkpoint, options.key, options.weights, &setup), *comm));
  PrintNotes(setup, *comm);

  const HeadConfig& head = loaded.config.model().head();
  const int64_t images = setup.val->sampler().images;
  CheckpointEvaluation result;
  result.class_names = setup.data.classes;
  result.class_names.resize(static_cast<size_t>(head.num_classes()));

  const auto start = std::chrono::steady_clock::now();
  ProgressLine line(stdout, comm->rank() == 0 && IsWatched());
  Answers own;
  const absl::Status status = VisitBatches(
      setup.device, setup.val.get(),
      [&](int64_t done, int64_t total) {
        line.Draw(absl::StrFormat("evaluating [%d/%d]", done, total));
        return true;
      },
      [&](const Batch& batch, const at::Tensor& images) {
        AddAnswers(batch, LogProbabilities(images, options.flip, setup.model.get()),
                   head.label_smoothing(), !options.scores.empty(), &own);
      });
  line.Clear();
  for (const std::string& sentence : setup.val->TakeSkipped()) {
    std::fprintf(stderr, "warning %s\n", sentence.c_str());
  }
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  FT_RETURN_IF_ERROR(GatherPredictions(own, images, comm, &result));
  FT_RETURN_IF_ERROR(CheckAnyEvaluated(static_cast<int64_t>(result.predictions.size()), images));
  const double loss = MeanLoss(result.predictions);
  if (!std::isfinite(loss)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: the loss of its %d images of data.val is %g; expected a finite number. Its weights "
        "are not those of a run that went well: take an earlier checkpoint",
        options.checkpoint, result.predictions.size(), std::abs(loss)));
  }
  if (!options.scores.empty()) {
    FT_RETURN_IF_ERROR(WriteScores(own, result, options.scores, comm));
  }
  return result;
}

}  // namespace finetune
