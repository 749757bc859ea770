"""What --resume may and may not do, and where the secrets of a run are while it lives.

Usage: resume_test.py SOTTO FOLDER
"""
import os, shutil, signal, stat, time

import harness

STEPS = harness.CONFIG["train.steps"]
LONG = {"train__steps": 120, "run__checkpoint_every": 50, "run__evaluate_every": 50, "privacy__sample_rate": 0.2}
CUT = "step.updated:4"  # step 4 is charged and lost: the checkpoint has two


class ResumeTest(harness.Case):
    def killed(self, name="place", fault=CUT, **changes):
        place = self.place(name, **changes)
        self.assertKilled(place.train(fault=fault), fault)
        return place

    def finished(self, name="place", **changes):
        place = self.place(name, **changes)
        self.assertExit(place.train(), 0)
        return place

    def key_appears_in(self, place, text):
        return [path.name for path in place.run.rglob("*")
                if path.is_file() and (text.encode() in path.read_bytes() or bytes.fromhex(text) in path.read_bytes())]

    def test_InterruptedByASignalSavesAndContinuesToTheSameBytes(self):
        reference = self.finished("reference", **LONG)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                place = self.place(number.name, **LONG)
                done = self.assertExit(place.interrupted(number, 3), 130, "--resume")
                self.assertEqual(done.json()["status"], "interrupted")
                steps = int(place.checkpoint().metadata["next_step"])
                self.assertEqual(steps, 3)
                self.assertEqual(place.charged(), list(range(1, steps + 1)))
                self.assertEqual(place.ledger_rows("release"), [])
                # Choosing when to stop is adaptive, so nothing below the allotment may be certified.
                self.assertEqual(place.certificate()["epsilon"], 3.0)
                self.assertTrue((place.run / "model.safetensors").exists())
                self.assertTrue(place.key.exists())
                self.assertExit(place.train("--resume"), 0)
                self.assertSameRun(place, reference)
                self.assertLedgerHolds(place)
                self.assertChargedOnce(place, LONG["train__steps"])

    def test_ResumeWithOtherPrivacySettingsIsRefused(self):
        reference = self.finished("reference")
        changes = ("privacy.epsilon=2.5", "privacy.delta=2e-6", "privacy.clip_norm=0.5", "privacy.sample_rate=0.04",
                   "privacy.noise_multiplier=3", "privacy.public_size=1500", "train.steps=6")
        # The second was stopped when the ledger knew the run but there was no checkpoint yet.
        for fault in (CUT, "checkpoint.before:1"):
            start = self.killed("killed." + fault, fault)
            for change in changes:
                with self.subTest(fault=fault, change=change):
                    place = start.copy(self.folder / "changed")
                    rows = place.ledger_rows()
                    self.assertExit(place.train("--resume", "--set", change), 2, "[privacy] settings or train.steps differ",
                                    "start a new run")
                    self.assertEqual(place.ledger_rows(), rows)
                    self.assertExit(place.train("--resume"), 0)
                    self.assertSameRun(place, reference)

    def test_ResumeOnOtherDataIsRefused(self):
        """The ledger was charged for the people of one file; the people of another one were promised nothing."""
        places = [self.killed("killed." + fault, fault) for fault in (CUT, "checkpoint.before:1")] + [self.finished()]
        for place in places:
            with self.subTest(place.path.name):
                lines = harness.small_data().read_text().splitlines(keepends=True)
                (place.path / "other.csv").write_text("".join([lines[0], *lines[1000:]]))
                rows = place.ledger_rows()
                self.assertExit(place.train("--resume", "--set", "data.path=other.csv"), 2, "data")
                self.assertEqual(place.ledger_rows(), rows)

    def test_RunBegunWithASeedIsUnsafeForEver(self):
        """Steps were taken with a key that anyone can make; a configuration without the seed does not undo them."""
        for name, place in (("killed", self.killed("killed")), ("finished", self.finished("finished"))):
            with self.subTest(name):
                place.configure({"run.seed": None})
                done = place.train("--resume")
                if done.code == 0:
                    self.assertEqual(place.certificate()["unsafe"], ["fixed_seed"])
                    self.assertFalse(place.certificate()["private"])
                else:
                    self.assertExit(done, 2, "run.seed")

    def test_OtherArithmeticIsNoReplay(self):
        """Where LibTorch computes with other instructions, a lost step would come out differently under the same noise."""
        place = self.killed()
        os.environ["ATEN_CPU_CAPABILITY"] = "default"
        try:
            self.assertExit(place.train("--resume"), 0, "steps 3 to 4 were charged", "fresh key")
        finally:
            del os.environ["ATEN_CPU_CAPABILITY"]

    def test_ChangedSinceTheStopGoesOnWithAFreshKeyAndChargesOn(self):
        start = self.killed()
        self.assertEqual(start.charged(), [1, 2, 3, 4])
        first_key = start.checkpoint().metadata["key_id"]
        for change in ("performance.threads=2", "performance.microbatch=64", "train.learning_rate=0.25",
                       "performance.storage_limit=1000000", "the key is gone"):
            with self.subTest(change):
                place = start.copy(self.folder / "changed")
                if "=" in change:
                    done = place.train("--resume", "--set", change)
                else:
                    place.key.unlink()
                    done = place.train("--resume")
                self.assertExit(done, 0, "steps 3 to 4 were charged", "fresh key")
                self.assertChargedOnce(place, STEPS)
                self.assertLedgerHolds(place)
                self.assertNotEqual(place.checkpoint().metadata["key_id"], first_key)
                self.assertEqual(place.certificate()["steps"], STEPS)
                self.assertFalse(place.key.exists())

    def test_ChangedSinceTheStopSaysNothingWhereNoStepWasLost(self):
        """The checkpoint is as far as the ledger: nothing is replayed, so nothing can differ."""
        place = self.killed(fault="checkpoint.after:2")
        self.assertExit(place.train("--resume", "--set", "performance.microbatch=64"), 0)
        self.assertChargedOnce(place, STEPS)

    def test_LedgerBehindItsCheckpointIsAnError(self):
        place = self.killed(fault="ledger.after_commit:3")  # reserve and two charges
        self.assertEqual(place.charged(), [1, 2])
        old = place.copy(self.folder / "old")
        self.assertKilled(place.train("--resume", fault="checkpoint.after:2"), "checkpoint.after:2")
        for path in place.path.glob("ledger.sqlite*"):
            path.unlink()
        for path in old.path.glob("ledger.sqlite*"):
            shutil.copy(path, place.path)
        self.assertEqual(place.checkpoint().metadata["next_step"], "4")
        self.assertExit(place.train("--resume"), 1, "checkpoint has 4 steps", "ledger only 2", "rolled back")
        self.assertEqual(place.charged(), [1, 2])

    def test_LedgerThatDoesNotKnowTheRunIsAnError(self):
        place = self.killed()
        self.assertExit(place.train("--resume", "--set", "ledger.path=other.sqlite"), 1, "knows nothing of run",
                        "other.sqlite", "ledger.sqlite")

    def test_LostCheckpointIsAnError(self):
        place = self.killed()
        (place.run / "checkpoint.safetensors").unlink()
        self.assertExit(place.train("--resume"), 1, "checkpoint.safetensors is gone", "4 steps were charged")
        self.assertEqual(place.charged(), [1, 2, 3, 4])

    def test_DamagedCheckpointIsAnError(self):
        place = self.killed()
        path = place.run / "checkpoint.safetensors"
        content = path.read_bytes()
        for name, damaged in (("cut", content[:-100]), ("garbage", b"garbage"), ("empty", b"")):
            with self.subTest(name):
                path.write_bytes(damaged)
                self.assertExit(place.train("--resume"), 1, "checkpoint.safetensors")
                self.assertEqual(place.charged(), [1, 2, 3, 4])

    def test_SameRunFolderWithoutResumeIsAnError(self):
        for name, place in (("killed", self.killed("killed")), ("finished", self.finished("finished"))):
            with self.subTest(name):
                rows = place.ledger_rows()
                files = {path.name: path.read_bytes() for path in place.run.iterdir()}
                self.assertExit(place.train(), 2, "already holds a run", "--resume", "run.dir")
                self.assertEqual(place.ledger_rows(), rows)
                self.assertEqual({path.name: path.read_bytes() for path in place.run.iterdir()}, files)

    def test_ResumeWithoutARunIsAnError(self):
        self.assertExit(self.place().train("--resume"), 2, "no run in run to resume", "without --resume")

    def test_ResumeOfAFinishedRunWritesItsPapersAgainAndChargesNothing(self):
        reference = self.finished("reference")
        place = reference.copy(self.folder / "again")
        for name in ("certificate.json", "report.html", "report.json", "ledger.json", "evaluation.json"):
            (place.run / name).unlink()
        self.assertExit(place.train("--resume"), 0)
        self.assertEqual(place.ledger_entries(), reference.ledger_entries())
        self.assertSameRun(place, reference)
        self.assertLedgerHolds(place)
        for name in ("report.html", "report.json", "ledger.json"):
            self.assertEqual((place.run / name).read_bytes(), (reference.run / name).read_bytes(), name)
        self.assertFalse(place.key.exists())

    def test_DataSetKeepsItsCommitmentForTheWholeRun(self):
        """A data set that is not public is named by a commitment; one data set of one run has one name."""
        schema = self.folder / "private.toml"
        self.folder.mkdir(parents=True)
        schema.write_text(harness.SCHEMA.read_text().replace("\npublic = true", "\npublic = false"))
        place = self.place(data__schema=schema, run__seed=None, **LONG)
        self.assertExit(place.interrupted(signal.SIGINT, 3), 130)
        name = place.certificate()["dataset"]["identity"]
        self.assertTrue(name.startswith("commitment:"), name)
        self.assertNotIn("counts", place.certificate()["dataset"])
        for how in (["--set", "performance.microbatch=64"], []):
            self.assertExit(place.train("--resume", *how), 0)
            self.assertEqual(place.certificate()["dataset"]["identity"], name, how)

    def test_RunsAtOnceOnOneLedger(self):
        """Two runs are started at once, while a third takes steps before they begin and after they have ended."""
        place = self.place(**LONG)
        options = lambda k, steps: ["--set", f"run.dir=run{k}", "--set", f"run.seed={k}", "--set", f"train.steps={steps}"]
        around = place.start(*options(0, 20000))

        def goes_on():
            before, end = place.count_charges_live(), time.monotonic() + harness.TIMEOUT
            while place.count_charges_live() == before:
                self.assertIsNone(around.poll(), "ended before the others")
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)

        goes_on()
        for process in [place.start(*options(k, 150)) for k in (1, 2)]:
            self.assertExit(harness.finish(process), 0)
        goes_on()
        around.send_signal(signal.SIGINT)
        self.assertExit(harness.finish(around), 130)
        first, *others = [row["run_id"] for row in place.ledger_rows("reserve")]
        self.assertEqual([place.charged(other) for other in others], 2 * [list(range(1, 151))])
        taken = place.charged(first)
        self.assertEqual(taken, list(range(1, len(taken) + 1)))
        kinds = [row["run_id"] for row in place.ledger_rows("charge")]
        self.assertGreater(sum(a != b for a, b in zip(kinds, kinds[1:])), 1, "the runs did not overlap")
        for k in range(3):
            self.assertExit(place.call("ledger", "verify", "ledger.sqlite", "--against", f"run{k}/certificate.json"), 0)

    def test_TwoProcessesOnOneRunChargeEachStepOnce(self):
        """The second one may be refused; it may not charge a step that the first one charged."""
        place = self.place(**{**LONG, "train__steps": 150})
        first = place.interrupted(signal.SIGINT, 3)
        self.assertExit(first, 130)
        both = [harness.finish(process) for process in [place.start("--resume"), place.start("--resume")]]
        self.assertIn(0, [done.code for done in both], both)
        self.assertChargedOnce(place, 150)
        self.assertExit(place.call("ledger", "verify", "ledger.sqlite"), 0)

    def test_KeyIsTheOperatorsAloneAndGoesWithTheRun(self):
        place = self.place(run__seed=None, **LONG)
        self.assertExit(place.interrupted(signal.SIGINT, 3), 130)
        self.assertEqual(stat.S_IMODE(place.operator.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(place.key.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(place.ledger.stat().st_mode), 0o600)
        key = place.key.read_text().strip()
        self.assertEqual(len(bytes.fromhex(key)), 32)
        self.assertEqual(self.key_appears_in(place, key), [])
        self.assertExit(place.train("--resume"), 0)
        self.assertFalse(place.key.exists())
        self.assertEqual(self.key_appears_in(place, key), [])
        left = [path for path in place.path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
        self.assertEqual(left, [])

    def test_NothingIsLeftInPieces(self):
        """A finished run has no .part files, and neither has a run that was killed and resumed."""
        place = self.killed(fault="write_file.before_rename:6")
        self.assertExit(place.train("--resume"), 0)
        left = [str(path.relative_to(place.path)) for path in place.path.rglob("*") if ".part" in path.name]
        self.assertEqual(left, [])

    def test_NoExactFigureOfTheTrainingDataIsInTheReleasableFolder(self):
        place = self.finished(run__seed=None)
        text = "".join((place.run / name).read_text() for name in ("metrics.jsonl", "report.json", "ledger.json", "run.json"))
        for name in ("batch_size", "clipped_fraction", "non_finite", '"loss"'):
            self.assertNotIn(name, text)
            self.assertIn(name, (place.operator / "metrics.jsonl").read_text())


if __name__ == "__main__":
    harness.main()
