// logits CONFIG CHECKPOINT IMAGES: prints the logits of a classifier, one line for each image.
// Scripts compare them with another program's logits. CONFIG: a ModelConfig in text format, on the
// command line. CHECKPOINT: a file in any format that finetune reads. IMAGES: a .pth with the entry
// "images", [N, C, H, W] float32, as the model takes them.
#include <ATen/core/grad_mode.h>
#include <google/protobuf/text_format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "src/base/status_macros.h"
#include "src/checkpoint/reader.h"
#include "src/model/classifier.h"
#include "src/model/load.h"

namespace finetune {
namespace {

absl::Status Print(const std::string& config, const std::string& checkpoint,
                   const std::string& images) {
  ModelConfig parsed;
  if (!google::protobuf::TextFormat::ParseFromString(config, &parsed)) {
    return absl::InvalidArgumentError("CONFIG: expected a ModelConfig in text format");
  }
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<Classifier> model, Classifier::Create(parsed, {}));
  FT_ASSIGN_OR_RETURN(const StateDict weights, ReadStateDict(checkpoint, /*key=*/""));
  FT_RETURN_IF_ERROR(LoadClassifier(weights, {}, model.get()).status());
  FT_ASSIGN_OR_RETURN(const StateDict input, ReadStateDict(images, /*key=*/""));
  if (input.tensors.size() != 1) return absl::InvalidArgumentError("IMAGES: expected one tensor");
  const at::NoGradGuard no_grad;
  const at::Tensor logits = model->Forward(input.tensors.front().tensor, {.training = false});
  for (int64_t i = 0; i < logits.size(0); ++i) {
    for (int64_t c = 0; c < logits.size(1); ++c) {
      std::printf("%.9g%c", logits[i][c].item<double>(), c + 1 < logits.size(1) ? ' ' : '\n');
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: logits CONFIG CHECKPOINT IMAGES\n");
    return 2;
  }
  const absl::Status status = finetune::Print(argv[1], argv[2], argv[3]);
  if (!status.ok()) std::fprintf(stderr, "logits: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
