#include "tests/training_test.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/reader.h"
#include "tests/same_bits.h"

namespace finetune {

namespace fs = std::filesystem;

void TrainingTest::SetUpTestSuite() {
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  // Ranks that share cores must not spin while they wait for each other.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
}

void TrainingTest::SetUp() {
  folder_ = EmptyTestFolder();
  finetune_ = fs::absolute("src/main/finetune").string();
  prepare_ = fs::absolute("data_tools/prepare_dataset").string();
}

Outcome TrainingTest::Run(const std::string& command) {
  return Job(command, absl::StrCat(folder_, "/output", ++runs_)).Wait();
}

bool TrainingTest::UnderOpenMpi() {
  return absl::StrContains(Run("mpirun --version").output, "Open MPI");
}

void TrainingTest::WriteResNet(const std::string& backbone, int images) {
  const Outcome data = Run(absl::StrCat(prepare_, " synthetic --classes=4 --train=", images,
                                        " --test=24 --shards=3 --output=", folder_, "/data"));
  ASSERT_EQ(data.exit_code, 0) << data.output;
  const std::string text =
      absl::StrCat(R"(
model {
  backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } )",
                   backbone, R"( }
  head { num_classes: 4 }
}
data {
  train { path: ")",
                   folder_,
                   R"(/data" split: "train" total_batch_size: 16
          pipeline { random_crop { size: 32 padding: 4 } } pipeline { random_flip {} } pipeline { normalize {} } }
  val { path: ")",
                   folder_,
                   R"(/data" split: "test" total_batch_size: 16 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 weight_decay: 0.0005 } }
schedule { max_epochs: 3 multi_step { milestones: 2 } }
runtime { log_interval: 1 }
)");
  ASSERT_TRUE(WriteFileAtomically(config(), text).ok());
}

std::string TrainingTest::Finetune(const std::string& work_dir, const std::string& flags) const {
  return absl::StrCat(finetune_, " --config=", config(), " --work_dir=", folder_, "/", work_dir,
                      " --set=runtime.threads=1 ", flags);
}

std::string TrainingTest::Mpirun(int ranks, const std::string& work_dir,
                                 const std::string& flags) const {
  return absl::StrCat("mpirun -np ", ranks, " --oversubscribe --bind-to none ",
                      Finetune(work_dir, flags));
}

std::string TrainingTest::TrainToEnd(int ranks, const std::string& work_dir,
                                     const std::string& flags) {
  const Outcome run = Run(Mpirun(ranks, work_dir, flags));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  return run.output;
}

std::vector<nlohmann::json> TrainingTest::Records(const std::string& work_dir) const {
  const std::string folder = absl::StrCat(folder_, "/", work_dir);
  std::vector<nlohmann::json> records;
  const std::vector<std::string> names = *ListFolder(folder);
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".jsonl")) continue;
    std::ifstream lines(absl::StrCat(folder, "/", name));
    for (std::string line; std::getline(lines, line);) {
      records.push_back(nlohmann::json::parse(line));
    }
  }
  return records;
}

std::map<int64_t, double> TrainingTest::Losses(const std::string& work_dir) const {
  std::map<int64_t, double> losses;
  for (const auto& record : Records(work_dir)) {
    if (record.value("mode", "") == "train") losses[record["iteration"]] = record["loss"];
  }
  return losses;
}

std::string TrainingTest::Logs(const std::string& work_dir) const {
  std::string text;
  for (const auto& entry : fs::directory_iterator(folder_ + "/" + work_dir)) {
    if (entry.path().extension() == ".log") text += *ReadFile(entry.path().string());
  }
  return text;
}

TensorList TrainingTest::Tensors(const std::string& checkpoint, bool optimizer) const {
  const auto root = ReadTorchFile(absl::StrCat(folder_, "/", checkpoint));
  if (!root.ok()) {
    ADD_FAILURE() << root.status();
    return {};
  }
  if (!optimizer) return *root->GetTensors("state_dict");
  const Value entry = *root->Get("optimizer");
  TensorList state;
  for (const auto& [name, value] : entry.dict()->entries()) {
    if (value.dict() == nullptr) continue;  // "kind"
    const TensorList tensors = *entry.GetTensors(*name.string());
    for (const NamedTensor& tensor : tensors) {
      state.push_back({absl::StrCat(*name.string(), ".", tensor.name), tensor.tensor});
    }
  }
  return state;
}

void TrainingTest::ExpectSameCheckpoints(const std::string& a, const std::string& b) const {
  for (const bool optimizer : {false, true}) {
    const TensorList x = Tensors(a, optimizer), y = Tensors(b, optimizer);
    ASSERT_GT(x.size(), 50u);
    ExpectSameBits(y, x);
  }
}

}  // namespace finetune
