"""Tests check.sh with imitated programs: how it reads their results, and how it treats programs that hang, crash or are
missing."""
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent

# Imitates finetune as far as check.py needs it: it writes records of the requested iterations. The variable FAKE says
# how it misbehaves.
FINETUNE = '''#!{python} -B
import json, os, pathlib, sys, time
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
sets = dict(word[6:].split("=", 1) for word in sys.argv[1:] if word.startswith("--set="))
fake = os.environ.get("FAKE", "")
if "--version" in sys.argv:
    print("finetune, build fake")
    sys.exit(0)
if fake == "crash":
    print("CUDA error: an illegal memory access was encountered (the GPU is NVIDIA H200)")
    sys.exit(1)
work_dir = pathlib.Path(flags["work_dir"])
work_dir.mkdir(parents=True)
window = int(sets.get("runtime.log_interval", 1))
every = int(sets.get("schedule.val_interval_iterations", 0))
most = int(flags.get("max_iterations", 30))
top1 = 1 / int(sets.get("model.head.num_classes", 2))
off = 0.5 if fake == "wrong" and sets["runtime.device"] != "CPU" else 0
with open(work_dir / "run.jsonl", "w") as file:
    for i in range(window, most + 1, window):
        rate = 1000 if sets.get("runtime.cuda_graph") == "true" else 500
        file.write(json.dumps({{"mode": "train", "iteration": i, "loss": 2.0 + off, "images_per_s": rate, "memory": 100}}) + "\\n")
        file.flush()
        parent = os.getppid()
        while fake == "hang" and i >= 3 * window and os.getppid() == parent:
            time.sleep(0.05)
        if every or ("schedule.max_epochs" in sets and i == most):
            file.write(json.dumps({{"mode": "val", "iteration": i, "pictures": 64, "time": 0.01,
                                   "accuracy": {{"top1": top1}}}}) + "\\n")
'''
GTEST = '''#!{python} -B
import os, sys
if os.environ.get("FAKE") == "failing_tests":
    print("[  FAILED  ] A.B (3 ms)\\n[  PASSED  ] 1 test.\\n[  FAILED  ] A.B")
    sys.exit(1)
print("[  PASSED  ] 2 tests.")
'''
PIPELINE = '''#!{python} -B
import json, sys
path = next(word[7:] for word in sys.argv if word.startswith("--json="))
json.dump({{"images_per_s": {{"read": 3e4, "read_send_prepare": 2.5e4, "prepare": 9e4}}}}, open(path, "w"))
print("25000 images/s")
'''
MPIRUN = '''#!{python} -B
import subprocess, sys
ranks = int(sys.argv[sys.argv.index("-np") + 1])
sys.exit(max(subprocess.run(sys.argv[sys.argv.index("-np") + 2:]).returncode for _ in range(ranks)))
'''
PEER = '''import json, sys
mode = sys.argv[sys.argv.index("--one") + 1]
print(json.dumps({"mode": mode, "train_images_per_s": 800, "eval_images_per_s": 2000, "peak_gpu_mib": 9}))
'''
NOTHING = "#!{python}\n"
TESTS = ("adamw_test", "agreement_test", "create_communicator_test", "device_pipeline_test", "gradient_norm_test", "loss_test",
         "mixup_test", "nccl_test", "random_grayscale_test", "recorded_steps_test", "sgd_test")


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR")))
        self.addCleanup(shutil.rmtree, self.folder)
        self.kit = self.folder / "kit"
        for name, text in {"bin/finetune": FINETUNE, "bin/prepare_dataset": NOTHING, "bin/device_pipeline_alone": PIPELINE,
                           "bin/profile_gpu": "#!{python}\nraise SystemExit('no trace')\n", "mpi/bin/mpirun": MPIRUN,
                           **{f"bin/{test}": GTEST for test in TESTS}}.items():
            self.program(name, text)
        (self.kit / "bench").mkdir()
        (self.kit / "bench/pytorch_peer.py").write_text(PEER)
        for script in ("check.sh", "check.py", "results.py"):
            shutil.copy(HERE / script, self.kit)
        self.write_kit()
        torch = self.folder / "site/torch"
        torch.mkdir(parents=True)
        (torch / "__init__.py").write_text("raise ImportError('check.py imports no PyTorch')\n")
        (torch / "version.py").write_text("__version__ = '2.11.0+cu130'\n")

    def program(self, name, text):
        path = self.kit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def write_kit(self, **more):
        (self.kit / "kit.json").write_text(json.dumps(
            {"commit": "abc", "libtorch": "2.11.0", "glibc": "2.2.5", "glibcxx": "3.4", "images": False, **more}))

    def command(self, *flags):
        return [self.kit / "check.sh", self.folder / "results", "--jobs=2:32", *flags]

    def environment(self, fake):
        return {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(self.folder / "site"), "FAKE": fake,
                "TMPDIR": str(self.folder)}

    def check(self, *flags, fake=""):
        """Runs check.sh. Returns (exit code, output, results.json, its stages by name)."""
        done = subprocess.run([str(word) for word in self.command(*flags)], env=self.environment(fake), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        written = self.written()
        return done.returncode, done.stdout, written, {stage["name"]: stage for stage in written.get("stages", [])}

    def written(self):
        path = self.folder / "results/results.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def shorten(self, stage, seconds):
        """Changes the time limit of a stage in the copied script."""
        script = self.kit / "check.py"
        script.write_text(script.read_text().replace('TOTAL = 580', f'TOTAL = 580\nLIMITS["{stage}"] = {seconds}'))

    def test_figures_of_all_programs_come_together(self):
        code, text, written, stages = self.check("--stages=machine,first_step,tests,speed,pipeline")
        self.assertEqual({name: stage["state"] for name, stage in stages.items()},
                         dict.fromkeys(["machine", "first_step", "tests", "speed", "pipeline"], "passed"), text)
        self.assertEqual(code, 0, text)
        self.assertEqual(stages["tests"]["line"], "all 28 cases of 12 programs passed")
        ratio = stages["speed"]["figures"]["ratios"]["frozen_stages 2, batch 32"]
        self.assertEqual(ratio["train"], {"ratio": 1.25, "finetune": "finetune recorded", "pytorch": "PyTorch bf16_cl_graphs"})
        self.assertEqual(ratio["recorded"]["ratio"], 2)
        self.assertEqual([row["met"] for row in written["targets"]], [True, True, True, True])
        self.assertLessEqual(len(list((self.folder / "results").iterdir())), 8)

    def test_other_losses_than_the_cpus_fail_the_first_stage_alone(self):
        code, text, _, stages = self.check("--stages=machine,first_step,pipeline", fake="wrong")
        self.assertEqual(code, 1)
        self.assertEqual(stages["first_step"]["state"], "failed", text)
        self.assertIn("differ from the CPU's by 25 %", stages["first_step"]["line"])
        self.assertEqual(stages["pipeline"]["state"], "passed", text)

    def test_a_crash_is_said_in_its_own_words(self):
        code, _, _, stages = self.check("--stages=machine,first_step,tests", fake="crash")
        self.assertEqual(code, 1)
        self.assertIn("exit code 1 of finetune: CUDA error: an illegal memory access", stages["first_step"]["line"])
        self.assertEqual(stages["tests"]["state"], "passed")

    def test_failing_cases_are_named(self):
        _, _, _, stages = self.check("--stages=machine,tests", fake="failing_tests")
        self.assertEqual(stages["tests"]["state"], "failed")
        self.assertIn("12 of 12 programs did not: device_pipeline_test: A.B;", stages["tests"]["line"])

    def test_a_program_that_hangs_is_killed_and_what_others_measured_stays(self):
        self.shorten("first_step", 3)
        _, _, _, stages = self.check("--stages=machine,first_step,pipeline", fake="hang")
        self.assertEqual(stages["first_step"]["state"], "overran")
        self.assertIn("was killed after", stages["first_step"]["line"])
        self.assertEqual(stages["pipeline"]["state"], "passed")
        self.assertIn("killed after its", (self.folder / "results/check.log").read_text())

    def test_a_missing_program_fails_its_stage_alone(self):
        (self.kit / "bin/device_pipeline_alone").unlink()
        (self.kit / "bin/sgd_test").unlink()
        _, _, _, stages = self.check("--stages=machine,tests,pipeline,trace,first_step")
        self.assertIn("sgd_test: cannot run", stages["tests"]["line"])
        self.assertIn("26 cases passed; 1 of 12 programs did not", stages["tests"]["line"])
        self.assertIn("No such file or directory", stages["pipeline"]["line"])
        self.assertEqual(stages["trace"]["line"], "exit code 1 of profile_gpu: no trace")
        self.assertEqual(stages["first_step"]["state"], "passed")

    def test_without_pytorchs_figures_there_is_no_ratio(self):
        (self.kit / "bench/pytorch_peer.py").write_text("raise SystemExit('no torchvision')\n")
        _, _, written, stages = self.check("--stages=machine,first_step,speed")
        self.assertEqual(stages["speed"]["state"], "passed")
        self.assertIn("no torchvision", stages["speed"]["line"])
        self.assertEqual([row["met"] for row in written["targets"]], [None, None, None, True])

    def test_trains_on_made_up_pictures_where_none_are_packed(self):
        _, text, _, stages = self.check("--stages=machine,training")
        self.assertEqual(stages["training"]["state"], "passed", text)
        self.assertRegex(stages["training"]["line"], r"ResNet-18 on made-up images .* weights: 10.00 % after 30 iterations")

    def test_trains_on_the_packed_pictures_and_their_classes(self):
        (self.kit / "data").mkdir()
        image = pathlib.Path(__file__).resolve()  # the file itself; under Bazel __file__ is a link
        with tarfile.open(self.kit / "data/images.tar.xz", "w:xz") as packed:
            for name in ("a", "b", "c", "d"):
                packed.add(image, f"some_name/train/{name}/1.jpg")
                packed.add(image, f"some_name/test/{name}/1.jpg")
        _, text, _, stages = self.check("--stages=machine,training")
        self.assertEqual(stages["training"]["state"], "passed", text)
        self.assertIn("ResNet-18 on the packed images from random weights: 25.00 %", stages["training"]["line"])

    def test_seconds_that_other_stages_leave_are_the_stage_speeds(self):
        _, _, _, stages = self.check("--stages=machine,speed,pipeline")
        self.assertGreater(stages["speed"]["limit_s"], 400)
        self.assertEqual(stages["pipeline"]["limit_s"], 25)

    def test_programs_that_lost_their_permission_in_copying_run(self):
        for path in (self.kit / "bin").iterdir():
            path.chmod(0o644)
        _, text, _, stages = self.check("--stages=machine,first_step")
        self.assertEqual(stages["first_step"]["state"], "passed", text)

    def test_programs_in_an_archive_run(self):
        with tarfile.open(self.kit / "programs.tar.xz", "w:xz") as packed:
            for folder in ("bin", "mpi"):
                packed.add(self.kit / folder, folder)
                shutil.rmtree(self.kit / folder)
        _, text, _, stages = self.check("--stages=machine,first_step,tests")
        self.assertEqual([stage["state"] for stage in stages.values()], ["passed"] * 3, text)

    def test_what_a_program_says_without_end_leaves_a_log_of_some_size(self):
        self.program("bin/device_pipeline_alone", "#!{python} -B\nprint('first'); print('x' * 10_000_000); print('last')\n")
        self.check("--stages=machine,pipeline")
        log = (self.folder / "results/check.log").read_text()
        self.assertLess(len(log), 1_000_000)
        self.assertIn("first", log)
        self.assertIn("last", log)

    def test_an_older_glibc_ends_it_with_a_sentence(self):
        self.write_kit(glibc="99.1")
        code, text, _, stages = self.check()
        self.assertEqual(code, 1)
        self.assertEqual(list(stages), ["machine"])
        self.assertRegex(stages["machine"]["line"], r"found glibc [0-9.]+; the packed programs need 99.1 or later")
        self.assertIn("for glibc 99.1", text.splitlines()[0])

    def test_another_pytorch_ends_it_with_a_sentence(self):
        (self.folder / "site/torch/version.py").write_text("__version__ = '2.12.0'\n")
        _, _, _, stages = self.check()
        self.assertEqual(list(stages), ["machine"])
        self.assertIn("found PyTorch 2.12.0", stages["machine"]["line"])

    def test_a_python_without_pytorch_is_told(self):
        shutil.rmtree(self.folder / "site")
        code, text, _, _ = self.check()
        self.assertEqual(code, 1)
        self.assertIn("expected python3 to be the one that has PyTorch 2.11", text.splitlines()[-1])

    def test_cut_off_in_the_middle_the_results_are_whole(self):
        process = subprocess.Popen([str(word) for word in self.command("--stages=machine,first_step")],
                                   env=self.environment("hang"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while not (self.folder / "results/results.json").exists() or self.written()["stages"][-1]["name"] != "first_step":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stages = self.written()["stages"]
        self.assertEqual([stage["state"] for stage in stages], ["passed", "running"])

    def test_all_limits_together_are_ten_minutes_at_most(self):
        sys.path.insert(0, str(HERE))
        import check
        self.assertLessEqual(sum(check.LIMITS.values()), check.TOTAL)
        self.assertLess(check.TOTAL, 600)

    def test_wrong_flags_are_refused(self):
        for flag in ("--stages=nothing", "--jobs=2", "--jobs=2:0", "--jobs=a:b"):
            self.assertEqual(self.check(flag)[0], 2, flag)


if __name__ == "__main__":
    unittest.main()
