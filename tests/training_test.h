#ifndef FINETUNE_TESTS_TRAINING_TEST_H_
#define FINETUNE_TESTS_TRAINING_TEST_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/tensor/named_tensor.h"
#include "tests/job.h"

namespace finetune {

// Tests that run the programs as a user does: prepare_dataset, then finetune under mpirun. Each
// test has a folder of its own.
class TrainingTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  void SetUp() override;

  // Runs the command to its end.
  Outcome Run(const std::string& command);
  // Whether mpirun is Open MPI's. Else it is an MPICH's, by tests/peers/mpi.sh.
  bool UnderOpenMpi();

  // Writes a config for a small ResNet on 72 images (65 to 80 work as well): 5 iterations of at
  // most 16 images an epoch, 15 in all. `backbone`: fields of model.backbone besides its resnet.
  void WriteResNet(const std::string& backbone = "", int images = 72);

  std::string config() const { return folder_ + "/small.pbtxt"; }
  std::string Mpirun(int ranks, const std::string& work_dir, const std::string& flags = "") const;
  // Runs Mpirun()'s command and returns its output; the test fails where its exit code is not 0.
  std::string TrainToEnd(int ranks, const std::string& work_dir, const std::string& flags = "");
  // Returns the command that Mpirun() runs on every rank.
  std::string Finetune(const std::string& work_dir, const std::string& flags = "") const;

  // Returns all records of a work_dir's runs, in the order of time.
  std::vector<nlohmann::json> Records(const std::string& work_dir) const;
  // Returns the loss by iteration of all of them.
  std::map<int64_t, double> Losses(const std::string& work_dir) const;

  // Returns the text of all logs of a work_dir.
  std::string Logs(const std::string& work_dir) const;

  // Returns a checkpoint's state dict, or its optimizer's state ("momentum.head.fc.weight"). Empty,
  // and the test fails, where it cannot be read.
  TensorList Tensors(const std::string& checkpoint, bool optimizer) const;
  // Expects the same bits in every tensor of two checkpoints, the optimizer's state and statistics
  // too.
  void ExpectSameCheckpoints(const std::string& a, const std::string& b) const;

  std::string folder_, finetune_, prepare_;

 private:
  int runs_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_TRAINING_TEST_H_
