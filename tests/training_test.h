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
  // Returns whether mpirun is Open MPI's. If not, it is MPICH's, set up by tests/peers/mpi.sh.
  bool UnderOpenMpi();

  // Writes a config for a small ResNet. `images`: the number of training images, 65 to 80, so that
  // an epoch has 5 iterations of at most 16 images and the run 15. `backbone`: further fields of
  // model.backbone.
  void WriteResNet(const std::string& backbone = "", int images = 72);

  std::string config() const { return folder_ + "/small.pbtxt"; }
  std::string Mpirun(int ranks, const std::string& work_dir, const std::string& flags = "") const;
  // Runs Mpirun()'s command and returns its output; the test fails where its exit code is not 0.
  std::string TrainToEnd(int ranks, const std::string& work_dir, const std::string& flags = "");
  // Returns the command that Mpirun()'s command runs on every rank.
  std::string Finetune(const std::string& work_dir, const std::string& flags = "") const;

  // Returns all records of the runs in a work_dir, sorted by time.
  std::vector<nlohmann::json> Records(const std::string& work_dir) const;
  // Returns the losses in these records, by iteration.
  std::map<int64_t, double> Losses(const std::string& work_dir) const;

  // Returns the text of all logs of a work_dir.
  std::string Logs(const std::string& work_dir) const;

  // Returns the tensors of a checkpoint's state dict, or of its optimizer's state (named as
  // "momentum.head.fc.weight"). If the checkpoint cannot be read, fails the test and returns an
  // empty list.
  TensorList Tensors(const std::string& checkpoint, bool optimizer) const;
  // Expects that all tensors of two checkpoints have the same bits, those of the optimizer's state
  // included.
  void ExpectSameCheckpoints(const std::string& a, const std::string& b) const;

  std::string folder_, finetune_, prepare_;

 private:
  int runs_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_TRAINING_TEST_H_
