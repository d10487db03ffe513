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

// Tests that run the programs as a user does: prepare_dataset, then finetune under mpirun. Each has
// a folder of its own.
class TrainingTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  void SetUp() override;

  // To its end.
  Outcome Run(const std::string& command);
  // Whether mpirun is Open MPI's. Else it is an MPICH's, by tests/peers/mpi.sh.
  bool UnderOpenMpi();

  // A small ResNet on 72 pictures (65 to 80 do as well): 5 iterations of at most 16 an epoch, 15 in
  // all. `backbone`: fields of model.backbone besides its resnet.
  void WriteResNet(const std::string& backbone = "", int pictures = 72);

  std::string config() const { return folder_ + "/small.pbtxt"; }
  std::string Mpirun(int ranks, const std::string& work_dir, const std::string& flags = "") const;
  // What Mpirun() runs on every rank.
  std::string Finetune(const std::string& work_dir, const std::string& flags = "") const;

  // All that a work_dir's runs have recorded, in the order of time.
  std::vector<nlohmann::json> Records(const std::string& work_dir) const;
  // Loss by iteration, of all of them.
  std::map<int64_t, double> Losses(const std::string& work_dir) const;

  // The text of all logs of a work_dir.
  std::string Logs(const std::string& work_dir) const;

  // A checkpoint's state dict, or its optimizer's state ("momentum.head.fc.weight"). Empty, and the
  // test fails, where it cannot be read.
  TensorList Tensors(const std::string& checkpoint, bool optimizer) const;
  // Every tensor of two checkpoints, the optimizer's state and statistics too, has the same bits.
  void ExpectSameCheckpoints(const std::string& a, const std::string& b) const;

  std::string folder_, finetune_, prepare_;

 private:
  int runs_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_TRAINING_TEST_H_
