// A password or token in the URL of the first weights is used, and then appears nowhere: not in
// what the program prints, and in no file of the run.
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFlag[] = "--set=model.backbone.pretrained.checkpoint=";

class SecretsTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
    const Outcome first = Run(Finetune("first", "--max_iterations=1"));
    ASSERT_EQ(first.exit_code, 0) << first.output;
    // Serves the checkpoint to those who know the password and the token.
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/server.py", R"(
import base64, http.server, os, sys
class Guarded(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        password = "Basic " + base64.b64encode(b"me:passw0rd").decode()
        if self.headers["Authorization"] != password or "token=t0ken" not in self.path:
            self.send_error(403)
            return
        data = open(sys.argv[1], "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
server = http.server.HTTPServer(("127.0.0.1", 0), Guarded)
with open(sys.argv[2] + ".part", "w") as port:
    port.write(str(server.server_port))
os.rename(sys.argv[2] + ".part", sys.argv[2])
server.serve_forever()
)")
                    .ok());
  }

  // Runs `command` beside the server. "PORT" in it becomes the server's port. `file`: the file in
  // this test's folder that the server has.
  Outcome RunWithServer(const std::string& command, const std::string& file = "first/latest.pth") {
    const std::string port = folder_ + "/port";
    fs::remove(port);
    return Run(absl::StrCat("bash -c 'python3 ", folder_, "/server.py ", folder_, "/", file, " ",
                            port, " 2>/dev/null & server=$!; until [ -e ", port,
                            " ]; do sleep 0.1; done; ", "export FINETUNE_CACHE=", folder_,
                            "/cache no_proxy=127.0.0.1; ",
                            absl::StrReplaceAll(command, {{"PORT", "$(cat " + port + ")"}}),
                            "; code=$?; kill $server; exit $code'"));
  }

  static void ExpectNoSecretIn(const std::string& text, const std::string& place) {
    for (const char* secret : {"passw0rd", "t0ken"}) {
      EXPECT_EQ(text.find(secret), std::string::npos) << secret << " is in " << place;
    }
  }
};

TEST_F(SecretsTest, OfAUrlAreInNoFileOfTheRunAndInNoOutput) {
  const std::string url = "http://me:passw0rd@127.0.0.1:PORT/first.pth?token=t0ken";
  const Outcome run =
      RunWithServer(Mpirun(2, "run", absl::StrCat("--max_iterations=5 ", kFlag, url)));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("120 tensors matched")) << "the checkpoint was not fetched";
  ExpectNoSecretIn(run.output, "the output");
  int files = 0;
  for (const std::string folder : {"/run", "/cache"}) {
    for (const auto& entry : fs::recursive_directory_iterator(folder_ + folder)) {
      if (!entry.is_regular_file()) continue;
      ++files;
      ExpectNoSecretIn(entry.path().filename(), "the file's name");
      // Checkpoints are not compressed, so that a secret in their config would be seen.
      ExpectNoSecretIn(*ReadFile(entry.path()), entry.path());
    }
  }
  EXPECT_GT(files, 8);
  EXPECT_THAT(*ReadFile(folder_ + "/run/config.pbtxt"), HasSubstr("/first.pth?***\""));

  // The run goes on without the URL; a new one says what it lacks.
  const std::string written = " --config=" + folder_ + "/run/config.pbtxt --work_dir=" + folder_;
  const Outcome resumed =
      Run(absl::StrCat(finetune_, written, "/run --resume=auto ", "--max_iterations=6"));
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, Not(HasSubstr("the config has changed")));
  const Outcome anew = Run(absl::StrCat(finetune_, written, "/new --max_iterations=1"));
  EXPECT_NE(anew.exit_code, 0);
  EXPECT_THAT(anew.output, AllOf(HasSubstr("model.backbone.pretrained.checkpoint"),
                                 HasSubstr("give the whole URL")));
}

TEST_F(SecretsTest, OfAUrlAreInNoErrorMessage) {
  // Refused by the server, not a checkpoint, a mistake beside the URL, and ranks with other tokens.
  const std::string wrong = absl::StrCat(kFlag, "http://me:passw0rd@127.0.0.1:PORT/x.pth?t0ken");
  const Outcome refused = RunWithServer(Finetune("refused", wrong));
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.output, AllOf(HasSubstr("/x.pth?***"), HasSubstr("403")));
  ExpectNoSecretIn(refused.output, "the output");
  const Outcome junk = RunWithServer(
      Finetune("junk", absl::StrCat(kFlag, "http://me:passw0rd@127.0.0.1:PORT/x.pth?token=t0ken")),
      "server.py");
  EXPECT_NE(junk.exit_code, 0);
  EXPECT_THAT(junk.output, HasSubstr("/x.pth?***: to download it again, delete it"));
  ExpectNoSecretIn(junk.output, "the output");
  const std::string flag = absl::StrCat(kFlag, "http://me:passw0rd@127.0.0.1:1/x.pth?t0ken=");
  const Outcome mistake =
      Run(Finetune("mistake", absl::StrCat(flag, "1 --set=model.backbone.pretrained.key2=a")));
  EXPECT_NE(mistake.exit_code, 0);
  ExpectNoSecretIn(mistake.output, "the output");
  const Outcome differ = Run(absl::StrCat(Mpirun(1, "differ", flag + "one"), " : -np 1 ",
                                          Finetune("differ", flag + "two")));
  EXPECT_NE(differ.exit_code, 0);
  EXPECT_THAT(differ.output, HasSubstr("the ranks differ: model.backbone.pretrained.checkpoint"));
  ExpectNoSecretIn(differ.output, "the output");
}

}  // namespace
}  // namespace finetune
