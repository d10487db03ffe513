"""Tests results.py on invented output, of programs that reached their end and of programs that did not."""
import unittest

import results


def jsonl(*found):
    import json
    return "".join(json.dumps(record) + "\n" for record in found)


def train(iteration, rate=100.0, loss=2.0):
    return {"mode": "train", "iteration": iteration, "loss": loss, "images_per_s": rate, "memory": 500}


def kernel(start, length, name="conv"):
    return {"ph": "X", "cat": "kernel", "name": name, "ts": start, "dur": length}


def copy_in(start):
    return {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "ts": start, "dur": 1}


class Records(unittest.TestCase):
    def test_leave_out_a_line_that_was_cut_off(self):
        text = jsonl(train(1), train(2)) + '{"mode": "train", "iter'
        self.assertEqual([r["iteration"] for r in results.records(text)], [1, 2])

    def test_rates_are_those_after_the_warm_up(self):
        found = [train(20, 10.0), train(40, 300.0), train(60, 100.0), train(80, 200.0)]
        self.assertEqual(results.training_rate(found, 20), {"median": 200.0, "least": 100.0, "greatest": 300.0, "values": 3})
        self.assertIsNone(results.training_rate(found, 80))

    def test_evaluations_after_the_first_count(self):
        found = [{"mode": "val", "iteration": i, "pictures": 400, "time": time} for i, time in ((1, 8.0), (2, 2.0), (3, 4.0))]
        self.assertEqual(results.evaluation_rate(found)["median"], 150.0)
        self.assertIsNone(results.evaluation_rate(found[:1]))

    def test_accuracy_is_the_last_validations(self):
        found = [{"mode": "val", "iteration": i, "accuracy": {"top1": top1}} for i, top1 in ((10, 0.5), (20, 0.875))]
        self.assertEqual(results.accuracy(found + [train(21)]), (87.5, 20))
        self.assertIsNone(results.accuracy([train(1)]))


class Losses(unittest.TestCase):
    def test_agree_within_the_bound(self):
        same, worst = results.compare_losses({1: 2.0, 2: 1.0}, {1: 2.0002, 2: 1.0}, 1e-3)
        self.assertTrue(same)
        self.assertAlmostEqual(worst, 1e-4)
        self.assertFalse(results.compare_losses({1: 2.0}, {1: 2.01}, 1e-3)[0])

    def test_never_agree_where_one_is_missing_or_not_a_number(self):
        self.assertFalse(results.compare_losses({}, {}, 1)[0])
        self.assertFalse(results.compare_losses({1: 2.0, 2: 1.0}, {1: 2.0}, 1)[0])
        self.assertFalse(results.compare_losses({1: 2.0}, {1: float("nan")}, 1)[0])


class GoogleTest(unittest.TestCase):
    def test_counts_what_passed(self):
        counts = results.gtest("[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n[  PASSED  ] 3 tests.\n")
        self.assertEqual(counts["passed"], 3)
        self.assertTrue(results.gtest_ok(counts, 0))
        self.assertFalse(results.gtest_ok(counts, 1))

    def test_names_what_failed(self):
        counts = results.gtest("[  FAILED  ] All/Steps.Same/0, where GetParam() = \"\" (3 ms)\n[  PASSED  ] 2 tests.\n"
                               "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] All/Steps.Same/0\n")
        self.assertEqual(counts["failed"], ["All/Steps.Same/0"])
        self.assertFalse(results.gtest_ok(counts, 1))

    def test_a_program_that_crashed_has_no_verdict(self):
        self.assertFalse(results.gtest_ok(results.gtest("[ RUN      ] A.B\nSegmentation fault\n"), 0))

    def test_every_rank_must_end(self):
        one = "[1,0]<stdout>:[  PASSED  ] 2 tests.\n"
        self.assertFalse(results.gtest_ok(results.gtest(one, ranks=2), 0))
        self.assertTrue(results.gtest_ok(results.gtest(one + one.replace("1,0", "1,1"), ranks=2), 0))

    def test_skipped_is_not_passed(self):
        counts = results.gtest("[  PASSED  ] 0 tests.\n[  SKIPPED ] 1 test, listed below:\n")
        self.assertFalse(results.gtest_ok(counts, 0))
        counts = results.gtest("[  PASSED  ] 4 tests.\n[  SKIPPED ] 1 test, listed below:\n")
        self.assertFalse(results.gtest_ok(counts, 0))


class Sanitizer(unittest.TestCase):
    def test_sums_over_processes(self):
        self.assertEqual(results.sanitizer_errors("========= ERROR SUMMARY: 0 errors\n"), 0)
        self.assertEqual(results.sanitizer_errors("== ERROR SUMMARY: 0 errors\n== ERROR SUMMARY: 1 error\n"), 1)

    def test_no_summary_is_not_zero_errors(self):
        self.assertIsNone(results.sanitizer_errors("========= COMPUTE-SANITIZER\n"))


class Trace(unittest.TestCase):
    def step(self, at):
        return [copy_in(at), copy_in(at + 1), *(kernel(at + 10 + 2 * i, 1, "conv" if i % 2 else "relu") for i in range(60))]

    def test_the_last_whole_step(self):
        events = {"traceEvents": self.step(2000) + self.step(0) + self.step(1000) + [{"ph": "M", "name": "x"}]}
        step = results.last_step(results.gpu_events(events))
        self.assertEqual(step[0][2], 1000)
        self.assertEqual(sum(event[0] == "kernel" for event in step), 60)
        profile = results.profile(step)
        self.assertEqual(profile["kernels"], 60)
        self.assertAlmostEqual(profile["milliseconds"], 0.129)
        self.assertAlmostEqual(profile["busy_share"], 62 / 129)
        self.assertEqual({row["name"]: row["calls"] for row in profile["top"]}, {"conv": 30, "relu": 30})

    def test_overlapping_work_is_busy_once(self):
        profile = results.profile(results.gpu_events({"traceEvents": [kernel(0, 10), kernel(5, 10), kernel(30, 10)]}))
        self.assertAlmostEqual(profile["busy_share"], 25 / 40)

    def test_a_trace_of_no_gpu_has_no_step(self):
        self.assertEqual(results.last_step(results.gpu_events({"traceEvents": [{"ph": "X", "cat": "cpu_op", "ts": 1}]})), [])
        self.assertEqual(results.last_step(results.gpu_events({})), [])
        self.assertIsNone(results.profile([]))


class Targets(unittest.TestCase):
    def rate(self, train, evaluation=None):
        return {"train": results.spread([train]), "eval": evaluation and results.spread([evaluation])}

    def figures(self):
        return {results.key(2, 32): {"finetune": self.rate(1000, 3000), "finetune recorded": self.rate(1400),
                                     "PyTorch bf16_cl_graphs": self.rate(1000, 2000), "PyTorch bf16_cl": self.rate(500, 2500)},
                results.key(-1, 32): {"finetune": self.rate(550), "PyTorch bf16_cl": self.rate(500)}}

    def test_hold_the_best_of_both_against_each_other(self):
        ratios = results.ratios(self.figures())
        job = ratios[results.key(2, 32)]
        self.assertAlmostEqual(job["train"]["ratio"], 1.4)
        self.assertEqual(job["train"]["finetune"], "finetune recorded")
        self.assertAlmostEqual(job["eval"]["ratio"], 1.2)
        self.assertEqual(job["eval"]["pytorch"], "PyTorch bf16_cl")
        self.assertAlmostEqual(job["recorded"]["ratio"], 1.4)
        self.assertEqual(list(ratios[results.key(-1, 32)]), ["train"])

    def test_the_worst_job_counts(self):
        met = {row["target"]: (row["value"], row["met"]) for row in results.targets(self.figures(), prepared=25000)}
        self.assertAlmostEqual(met[1.2][0], 1.1)
        self.assertFalse(met[1.2][1])
        self.assertEqual(met[20000], (25000, True))

    def test_what_was_not_measured_is_neither_met_nor_missed(self):
        for row in results.targets({}, None):
            self.assertIsNone(row["value"])
            self.assertIsNone(row["met"])


if __name__ == "__main__":
    unittest.main()
