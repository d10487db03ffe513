// Tests slurm/finetune.sbatch on a Slurm cluster of two nodes, which tests/slurm_cluster.sh starts
// on this machine.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/tensor/named_tensor.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// Runs a shell command and returns its output, stdout and stderr. Writes its exit code to
// `exit_code` unless that is null.
std::string Shell(const std::string& command, int* exit_code = nullptr) {
  FILE* pipe = popen(absl::StrCat("{ ", command, "\n} 2>&1 < /dev/null").c_str(), "r");
  std::string output;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  const int status = pclose(pipe);
  if (exit_code != nullptr) *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

// Runs slurm_cluster.sh while the object exists. The script ends when its standard input is closed.
class Cluster {
 public:
  explicit Cluster(std::string folder) : folder_(std::move(folder)) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      dup2(out[1], 2);
      execl("tests/slurm_cluster.sh", "slurm_cluster.sh", folder_.c_str(), nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    stdout_ = out[0];
    char buffer[4096];
    for (ssize_t n; !ready() && (n = read(stdout_, buffer, sizeof(buffer))) > 0;) {
      said_.append(buffer, n);
    }
  }
  ~Cluster() {
    close(stdin_);
    waitpid(pid_, nullptr, 0);
    close(stdout_);
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  bool ready() const { return absl::EndsWith(said_, "ready\n"); }
  const std::string& said() const { return said_; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_, said_;
  pid_t pid_ = -1;
  int stdin_ = -1, stdout_ = -1;
};

class Slurm : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // The path must be short: the path of a socket in the folder may have at most 107 characters.
    cluster_ = std::make_unique<Cluster>(absl::StrCat("/tmp/finetune-slurm-", getpid()));
    setenv("SLURM_CONF", absl::StrCat(cluster_->folder(), "/slurm.conf").c_str(), 1);
    // Ranks that share cores must not spin while they wait for each other.
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
    // MPICH uses libfabric (ofi) here. The addresses of its alternative, UCX, are longer than
    // Slurm's pmi2 allows.
    setenv("MPIR_CVAR_CH4_NETMOD", "ofi", 1);
    folder_ = fs::path(testing::TempDir() + "/slurm").lexically_normal().string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    sbatch_ = fs::absolute("slurm/finetune.sbatch").string();
    finetune_ = fs::absolute("src/main/finetune").string();
    // A small ResNet on 72 images: 5 iterations an epoch, 80 in all.
    int exit_code = -1;
    const std::string data =
        Shell(absl::StrCat("data_tools/prepare_dataset synthetic --classes=4 --train=72 --test=24 "
                           "--shards=3 --output=",
                           folder_, "/data"),
              &exit_code);
    ASSERT_EQ(exit_code, 0) << data;
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/small.pbtxt", R"(
model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } } head { num_classes: 4 } }
data {
  train { path: "data" split: "train" total_batch_size: 16
          pipeline { random_crop { size: 32 padding: 4 } } pipeline { random_flip {} } pipeline { normalize {} } }
  val { path: "data" split: "test" total_batch_size: 16 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 weight_decay: 0.0005 } }
schedule { max_epochs: 16 multi_step { milestones: 2 } }
runtime { log_interval: 1 threads: 1 }
)")
                    .ok());
  }

  static void TearDownTestSuite() {
    const std::string folder = cluster_->folder();
    cluster_.reset();
    EXPECT_FALSE(fs::exists(folder)) << "the cluster has left its folder behind";
    // Every process of the cluster has the path of its configuration in the environment.
    for (const auto& process : fs::directory_iterator("/proc")) {
      const auto environment = ReadFile((process.path() / "environ").string());
      if (!environment.ok()) continue;
      EXPECT_FALSE(absl::StrContains(*environment, "SLURM_CONF=" + folder))
          << "still runs: " << ReadFile((process.path() / "cmdline").string()).value_or("");
    }
  }

  void SetUp() override {
    ASSERT_TRUE(cluster_->ready()) << cluster_->said();
    ASSERT_TRUE(fs::exists(folder_ + "/small.pbtxt"));
  }

  // Submits a job in the folder of the data. `flags`: sbatch's flags. `variables`: shell commands
  // that set variables. `arguments`: finetune's flags. Returns the job's number.
  static std::string Submit(const std::string& flags, const std::string& variables = "",
                            const std::string& arguments = "") {
    int exit_code = -1;
    const std::string job = Shell(
        absl::StrCat("cd ", folder_, " && export FINETUNE=", finetune_, " CONFIG=small.pbtxt; ",
                     variables, "\n sbatch --parsable ", flags, " ", sbatch_, " ", arguments),
        &exit_code);
    EXPECT_EQ(exit_code, 0) << job;
    return std::string(absl::StripAsciiWhitespace(job));
  }

  // Returns a field of `scontrol show job`.
  static std::string Field(const std::string& job, absl::string_view field) {
    const std::string all = Shell(absl::StrCat("scontrol show job -o ", job));
    for (absl::string_view pair : absl::StrSplit(all, absl::ByAnyChar(" \n"))) {
      if (absl::ConsumePrefix(&pair, field) && absl::ConsumePrefix(&pair, "=")) {
        return std::string(pair);
      }
    }
    ADD_FAILURE() << "no " << field << " in: " << all;
    return "";
  }

  static std::string Log(const std::string& job) {
    return ReadFile(absl::StrCat(folder_, "/finetune-", job, ".log")).value_or("");
  }

  // Calls `done` again and again until it returns true. If the job hangs, fails the test and
  // returns false.
  static bool Poll(const std::string& job, const std::function<bool()>& done) {
    const auto start = std::chrono::steady_clock::now();
    while (!done()) {
      // Slurm starts, warns and ends jobs with delays of seconds, and the time limit in these tests
      // is a minute.
      if (std::chrono::steady_clock::now() - start > std::chrono::minutes(4)) {
        ADD_FAILURE() << "job " << job << " hangs: " << Shell("scontrol show job " + job)
                      << Log(job);
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }

  static bool Ended(const std::string& state) {
    for (const char* last : {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED",
                             "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}) {
      if (state == last) return true;
    }
    return false;
  }

  // Waits until the job has ended for good, and returns its last state.
  static std::string End(const std::string& job) {
    std::string state;
    Poll(job, [&] { return Ended(state = Field(job, "JobState")); });
    return state;
  }

  // Waits until the job's log has `text`. The test fails where the job ends without it.
  static void WaitFor(const std::string& job, const std::string& text) {
    Poll(job, [&] {
      // Reads the state before the log. Otherwise lines that the job writes between the two reads
      // would be missed.
      const bool ended = Ended(Field(job, "JobState"));
      return absl::StrContains(Log(job), text) || ended;
    });
    EXPECT_THAT(Log(job), HasSubstr(text));
  }

  static std::string WorkDir(const std::string& job) {
    return absl::StrCat(folder_, "/work_dirs/slurm-", job);
  }

  // Returns the parameters, statistics and momentum of a checkpoint.
  static TensorList Tensors(const std::string& path) {
    const auto root = ReadTorchFile(path);
    if (!root.ok()) {
      ADD_FAILURE() << root.status();
      return {};
    }
    auto tensors = root->GetTensors("state_dict"),
         momentum = root->Get("optimizer")->GetTensors("momentum");
    if (!tensors.ok() || !momentum.ok()) {
      ADD_FAILURE() << tensors.status() << momentum.status();
      return {};
    }
    tensors->insert(tensors->end(), momentum->begin(), momentum->end());
    return *tensors;
  }

  // Returns the final tensors of a job on both nodes that is not interrupted.
  static const TensorList& Uninterrupted() {
    static const TensorList* const tensors = [] {
      const std::string job = Submit(kBothNodes);
      EXPECT_EQ(End(job), "COMPLETED") << Log(job);
      return new TensorList(Tensors(WorkDir(job) + "/epoch_16.pth"));
    }();
    return *tensors;
  }

  // Expects that the final checkpoint in `work_dir` equals that of the uninterrupted job, bit for
  // bit.
  static void ExpectTheUninterruptedEnd(const std::string& work_dir) {
    const TensorList end = Tensors(work_dir + "/epoch_16.pth");
    ASSERT_GT(end.size(), 100u);
    ASSERT_EQ(end.size(), Uninterrupted().size());
    for (size_t i = 0; i < end.size(); ++i) {
      EXPECT_EQ(end[i].name, Uninterrupted()[i].name);
      EXPECT_TRUE(end[i].tensor.equal(Uninterrupted()[i].tensor)) << end[i].name;
    }
  }

  static constexpr char kBothNodes[] = "--nodes=2 --ntasks-per-node=1";
  static inline std::unique_ptr<Cluster> cluster_;
  static inline std::string folder_, sbatch_, finetune_;
};

TEST_F(Slurm, MpirunStartsARankOnEachNodeThroughSrun) {
  // Only the named variables are exported, so even PATH and HOME are not. The second node has its
  // own PATH and HOME. An mpirun outside the system's folders must be found through PATH.
  const bool system = Shell("command -v mpirun") == "/usr/bin/mpirun\n";
  const std::string job =
      Submit(absl::StrCat(kBothNodes, " --export=FINETUNE,CONFIG,MARK", system ? "" : ",PATH"),
             "export MARK=1", "--max_iterations=3");
  EXPECT_EQ(End(job), "COMPLETED") << Log(job);
  EXPECT_THAT(Log(job), HasSubstr("start 1: 2 ranks by mpirun on "));
  EXPECT_THAT(Log(job), HasSubstr("2 ranks of 1 thread on the CPU"));
  EXPECT_THAT(Log(job), HasSubstr("epoch 1 [3/5]"));
  EXPECT_TRUE(fs::exists(WorkDir(job) + "/latest.pth"));
  // The step that srun started on the second node is mpirun's daemon.
  EXPECT_THAT(Shell(absl::StrCat("cat ", cluster_->folder(), "/slurmd-$(hostname -s)-b.log")),
              HasSubstr(absl::StrCat("launch task StepId=", job, ".0 ")));
}

class Launchers : public Slurm, public testing::WithParamInterface<const char*> {
 protected:
  // Submits a job on both nodes and waits until an epoch is done.
  std::string SubmitAndWait(const std::string& flags = "") {
    std::string job =
        Submit(absl::StrCat(kBothNodes, " ", flags), absl::StrCat("export LAUNCHER=", GetParam()));
    WaitFor(job, "epoch 2 [1/5]");
    return job;
  }
};

INSTANTIATE_TEST_SUITE_P(By, Launchers, testing::Values("mpirun", "srun"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Launchers, EveryRankSeesTheGpusThatItsNodeGives) {
  const std::string program = folder_ + "/see_gpus.sh";
  ASSERT_TRUE(WriteFileAtomically(program,
                                  "#!/bin/sh\n"
                                  "echo rank ${PMIX_RANK:-${OMPI_COMM_WORLD_RANK:-$PMI_RANK}} "
                                  "sees GPUs $CUDA_VISIBLE_DEVICES\n")
                  .ok());
  fs::permissions(program, fs::perms::owner_all);
  const std::string job =
      Submit("--nodes=2 --ntasks-per-node=2 --gpus-per-node=2",
             absl::StrCat("export FINETUNE=", program, " LAUNCHER=", GetParam()));
  EXPECT_EQ(End(job), "COMPLETED") << Log(job);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_THAT(Log(job), HasSubstr(absl::StrCat("rank ", rank, " sees GPUs 0,1\n")));
  }
}

TEST_P(Launchers, AWarnedJobSavesQueuesAgainAndEndsAsIfNothingHadHappened) {
  const std::string job = SubmitAndWait();
  Shell(absl::StrCat("scancel --batch --signal=USR1 ", job));
  EXPECT_EQ(End(job), "COMPLETED") << Log(job);
  EXPECT_EQ(Field(job, "Restarts"), "1");
  EXPECT_THAT(Log(job), HasSubstr("finetune exited 75 after Slurm's warning; queueing job " + job));
  EXPECT_THAT(Log(job), HasSubstr("start 2: 2 ranks by " + std::string(GetParam())));
  EXPECT_THAT(Log(job), HasSubstr("resumed from"));
  ExpectTheUninterruptedEnd(WorkDir(job));
}

TEST_P(Launchers, ACancelledJobEndsKeepsItsCheckpointAndCanBeQueuedAgain) {
  const std::string job = SubmitAndWait();
  Shell("scancel " + job);
  EXPECT_EQ(End(job), "CANCELLED") << Log(job);
  EXPECT_EQ(Field(job, "Restarts"), "0");
  // mpirun may kill its ranks before they have saved. Then the last checkpoint is that of the first
  // epoch.
  if (GetParam() == std::string("srun")) {
    EXPECT_THAT(Log(job), HasSubstr("stopped by a signal after iteration"));
  }
  EXPECT_TRUE(fs::exists(WorkDir(job) + "/latest.pth"));
  int exit_code = -1;
  const std::string requeue = Shell("scontrol requeue " + job, &exit_code);
  ASSERT_EQ(exit_code, 0) << requeue;
  WaitFor(job, "start 2: ");
  EXPECT_EQ(End(job), "COMPLETED") << Log(job);
  EXPECT_THAT(Log(job), HasSubstr("resumed from"));
  ExpectTheUninterruptedEnd(WorkDir(job));
}

TEST_F(Slurm, AJobAskedToStopSavesAndDoesNotQueueAgain) {
  const std::string stopped = Submit("--ntasks-per-node=2");
  WaitFor(stopped, "epoch 1 [2/5]");
  Shell("scancel --batch --signal=TERM " + stopped);
  EXPECT_EQ(End(stopped), "FAILED");
  EXPECT_EQ(Field(stopped, "ExitCode"), "75:0") << Log(stopped);
  EXPECT_EQ(Field(stopped, "Restarts"), "0");
  EXPECT_THAT(Log(stopped), HasSubstr("stopped by a signal after iteration"));
  EXPECT_THAT(Log(stopped), Not(HasSubstr("queueing")));

  const std::string never_again = Submit("--ntasks-per-node=2 --no-requeue");
  WaitFor(never_again, "epoch 1 [2/5]");
  Shell("scancel --batch --signal=USR1 " + never_again);
  EXPECT_EQ(End(never_again), "FAILED");
  EXPECT_EQ(Field(never_again, "ExitCode"), "75:0") << Log(never_again);
  EXPECT_THAT(Log(never_again), HasSubstr(absl::StrCat("go on with WORK_DIR=work_dirs/slurm-",
                                                       never_again, " sbatch")));
}

TEST_F(Slurm, SlurmWarnsBeforeTheTimeLimitAndTheJobGoesOnAfterIt) {
  const std::string work_dir = folder_ + "/limited";
  // The shortest possible limit. The warning comes 20 to 50 seconds before it.
  const std::string job = Submit(absl::StrCat(kBothNodes, " --time=1 --signal=B:USR1@20"),
                                 "export WORK_DIR=" + work_dir);
  WaitFor(job, "epoch 1 [2/5]");
  // The ranks are stopped (SIGSTOP) until the warning, so that the machine's speed does not matter.
  const std::string ranks =
      absl::StrCat("$(pgrep -f '^[^ ]*finetune --config=small.pbtxt --work_dir=", work_dir, " ')");
  int exit_code = -1;
  const std::string stop = Shell("kill -STOP " + ranks, &exit_code);
  ASSERT_EQ(exit_code, 0) << stop << Log(job);
  WaitFor(job, "got Slurm's warning");
  Shell("kill -CONT " + ranks);
  EXPECT_EQ(End(job), "COMPLETED") << Log(job);
  EXPECT_EQ(Field(job, "Restarts"), "1");
  EXPECT_THAT(Log(job), HasSubstr("finetune exited 75 after Slurm's warning"));
  EXPECT_THAT(Log(job), HasSubstr("resumed from"));
  ExpectTheUninterruptedEnd(work_dir);
}

TEST_F(Slurm, AnArraySweepsAndOnlyTheWarnedTaskQueuesAgain) {
  const std::string array =
      Submit("--array=0-1 --ntasks-per-node=1 --output=finetune-%A_%a.log",
             "export SWEEP='--set=optimizer.sgd.lr=0.01\n--set=optimizer.sgd.lr=0.02 "
             "\"--set=schedule.multi_step={milestones: [7, 9]}\"'");
  const std::string first = array + "_0", second = array + "_1";
  for (const std::string& task : {first, second}) {
    Poll(task, [&] { return Field(task, "JobState") != "PENDING"; });
  }
  // One task of a job array has the array's own job number.
  const bool first_has_it = Field(first, "JobId") == array;
  const std::string &warned = first_has_it ? first : second, &other = first_has_it ? second : first;
  WaitFor(warned, "epoch 1 [2/5]");
  Shell("scancel --batch --signal=USR1 " + warned);
  for (const std::string& task : {first, second}) EXPECT_EQ(End(task), "COMPLETED") << Log(task);
  EXPECT_EQ(Field(warned, "Restarts"), "1");
  EXPECT_EQ(Field(other, "Restarts"), "0");

  const auto settings = [&](const char* task) {
    return ReadFile(absl::StrCat(WorkDir(array), "-", task, "/config.pbtxt")).value_or("");
  };
  EXPECT_THAT(settings("0"), HasSubstr("lr: 0.01  #"));
  EXPECT_THAT(settings("1"), HasSubstr("lr: 0.02  #"));
  EXPECT_THAT(settings("0"), Not(HasSubstr("milestones: 7")));
  EXPECT_THAT(settings("1"), HasSubstr("milestones: 7"));
  for (const char* task : {"-0", "-1"}) {
    EXPECT_TRUE(fs::exists(absl::StrCat(WorkDir(array), task, "/epoch_16.pth"))) << task;
  }
}

TEST_F(Slurm, NamesMissingPartsInTheJobsLog) {
  const std::string one = "--ntasks-per-node=1 ";
  const std::vector<std::pair<std::string, std::string>> jobs = {
      {Submit(one, "unset FINETUNE"),
       "no finetune in PATH and no bazel-bin/src/main/finetune in " + folder_},
      {Submit(one, "export FINETUNE=/nowhere/finetune"),
       "FINETUNE=/nowhere/finetune: expected a program, found none on "},
      {Submit(one, "export CONFIG=nowhere.pbtxt"), "nowhere.pbtxt"},
      {Submit(one, "export LAUNCHER=mpiexec"), "LAUNCHER=mpiexec; it may be mpirun or srun"},
      {Submit(one, "export SWEEP=--set=optimizer.sgd.lr=1"),
       "SWEEP is for arrays: sbatch --array=0-0"},
      {Submit(one + "--array=1 --output=finetune-%A.log", "export SWEEP=--set=optimizer.sgd.lr=1"),
       "array task 1 has no line in SWEEP, whose 1 lines"},
      {Submit(one, "", "--set=optimizer.sgd.lrr=1"), "did you mean lr?"},
  };
  for (const auto& [job, message] : jobs) {
    EXPECT_EQ(End(job), "FAILED");
    EXPECT_EQ(Field(job, "ExitCode"), "2:0") << message;
    EXPECT_THAT(Log(job), HasSubstr(message));
  }
}

}  // namespace
}  // namespace finetune
