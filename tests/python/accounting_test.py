"""sotto.accounting: brackets around published values, dp-accounting's verbs and errors, a script with its import changed.

Usage: accounting_test.py LIBSOTTO_OPS SITE LIBSOTTO_ACCOUNTING    (77 = skipped)
"""
import ctypes, json, math, os, pathlib, subprocess, sys, unittest, warnings

SOURCE = pathlib.Path(__file__).resolve().parents[2]
if len(sys.argv) < 4:
    print("skipped: built with sanitizers, whose runtime Python does not have")
    sys.exit(77)
os.environ["SOTTO_ACCOUNTING"] = sys.argv[3]
sys.path.insert(0, str(SOURCE / "python"))
from sotto import accounting

EVENTS = json.loads((SOURCE / "tests/accountants/data/reference_events.json").read_text())["cases"]
CASES = json.loads((SOURCE / "tests/accountants/data/reference.json").read_text())["cases"]
ADD, REPLACE = accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, accounting.NeighboringRelation.REPLACE_ONE


def sampled(noise, rate, steps):
    return accounting.SelfComposedDpEvent(
        accounting.PoissonSampledDpEvent(rate, accounting.GaussianDpEvent(noise)), steps)


def described(case):
    """The event of a case of reference_events.json in dp-accounting's words, and its neighbours; None: it has no words for it."""
    plan, family = case["params"], case["family"]
    laplace, gaussian, repeat = accounting.LaplaceDpEvent, accounting.GaussianDpEvent, accounting.SelfComposedDpEvent
    if family == "laplace":
        return repeat(accounting.PoissonSampledDpEvent(plan["q"], laplace(plan["b"])), plan["steps"]), ADD
    if family == "discrete_laplace":
        return repeat(accounting.DiscreteLaplaceDpEvent(plan["a"], plan["sensitivity"]), plan["steps"]), ADD
    if family == "randomized_response":  # the truth has probability 1 − p + p/k = e^ε / (e^ε + k − 1)
        noise = plan["k"] / (math.exp(plan["eps0"]) + plan["k"] - 1)
        return repeat(accounting.RandomizedResponseDpEvent(noise, plan["k"]), plan["steps"]), REPLACE
    if family == "tree_aggregation":
        tree = accounting.SingleEpochTreeAggregationDpEvent(plan["sigma"], plan["steps_per_epoch"])
        return repeat(tree, plan.get("epochs", 1)), accounting.NeighboringRelation.REPLACE_SPECIAL
    if family == "heterogeneous":
        return accounting.ComposedDpEvent([sampled(*part[1:]) if part[0] == "sg" else repeat(laplace(part[1]), part[2])
                                           for part in plan["parts"]]), ADD
    if family == "replace_one":
        return sampled(plan["sigma"], plan["q"], plan["steps"]), REPLACE


# As dp-accounting's documentation has it, but for the import.
SCRIPT = """
from sotto import accounting as dp_accounting

event = dp_accounting.SelfComposedDpEvent(
    dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.0)), 1000)
builder = dp_accounting.DpEventBuilder()
builder.compose(event)
builder.compose(dp_accounting.NoOpDpEvent())
for accountant in (dp_accounting.rdp.RdpAccountant(), dp_accounting.pld.PLDAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=1e-4)):
    accountant.compose(builder.build())
    print(accountant.get_epsilon(target_delta=1e-5), accountant.get_delta(target_epsilon=1.0))
print(dp_accounting.calibrate_dp_mechanism(
    dp_accounting.rdp.RdpAccountant,
    lambda noise: dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(noise)), 1000),
    target_epsilon=1.0, target_delta=1e-5, bracket_interval=dp_accounting.LowerEndpointAndGuess(0.5, 1.0)))
"""


class AccountingTest(unittest.TestCase):
    def test_brackets_hold_the_published_values(self):
        tried = 0
        for case in CASES:
            if case["family"] != "sampled_gaussian":
                continue
            tried += 1
            plan = case["params"]
            accountant = accounting.pld.PLDAccountant().compose(sampled(plan["sigma"], plan["q"], plan["steps"]))
            lower, upper = accountant.get_epsilon_bounds(plan["delta"])
            with self.subTest(case["id"]):
                self.assertLessEqual(lower, case["upper"])
                self.assertGreaterEqual(upper, case["lower"])
                self.assertEqual(upper, accountant.get_epsilon(plan["delta"]))
        self.assertGreaterEqual(tried, 20)

    def test_brackets_hold_the_published_values_of_other_events(self):
        tried = 0
        for case in EVENTS:
            if described(case) is None:
                continue
            tried += 1
            event, relation = described(case)
            lower, upper = accounting.pld.PLDAccountant(relation).compose(event).get_epsilon_bounds(case["params"]["delta"])
            with self.subTest(case["id"]):  # the published values are good to 1e-9
                self.assertLessEqual(lower, case["upper"] * (1 + 1e-8))
                self.assertGreaterEqual(upper, case["lower"] * (1 - 1e-8))
                self.assertLessEqual(upper - lower, 2e-3 * upper)
        self.assertGreaterEqual(tried, 20)

    def test_a_bracket_wider_than_asked_warns(self):
        # Fixed-size batches under REPLACE_ONE have bounds that are apart, whatever the grid.
        batch = accounting.SampledWithoutReplacementDpEvent(1000, 10, accounting.GaussianDpEvent(1.0))
        wide = accounting.pld.PLDAccountant(REPLACE).compose(batch, 100)
        with self.assertWarnsRegex(RuntimeWarning, "wider than relative_gap=0.001"):
            wide.get_epsilon(1e-5)
        with self.assertWarnsRegex(RuntimeWarning, "wider than relative_gap=0.001"):
            wide.get_delta(1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            accounting.pld.PLDAccountant().compose(sampled(1, 0.01, 100)).get_epsilon(1e-5)
            accounting.rdp.RdpAccountant().compose(sampled(1, 0.01, 100)).get_epsilon(1e-5)

    def test_every_use_of_randomised_response_counts(self):
        # dp-accounting 0.6.0 composes it once however often it was used: 50 uses at p = 1/2 of 3 buckets said 1.3863.
        once = accounting.RandomizedResponseDpEvent(0.5, 3)
        whole = accounting.pld.PLDAccountant(REPLACE).compose(once, 50).get_epsilon(1e-5)
        one_by_one = accounting.pld.PLDAccountant(REPLACE)
        for _ in range(50):
            one_by_one.compose(once)
        self.assertEqual(whole, one_by_one.get_epsilon(1e-5))
        self.assertGreater(whole, 40)

    def test_rdp_is_above_and_near_the_peers(self):
        for case in CASES:
            if case["family"] == "sampled_gaussian" and case.get("peer_rdp") and case["params"]["q"] <= 0.1:
                plan = case["params"]
                found = accounting.rdp.RdpAccountant().compose(sampled(plan["sigma"], plan["q"], plan["steps"]))
                with self.subTest(case["id"]):
                    self.assertGreaterEqual(found.get_epsilon(plan["delta"]), case["lower"])
                    self.assertLessEqual(found.get_epsilon(plan["delta"]), case["peer_rdp"] * 1.001)

    def test_a_gaussian_has_its_closed_form(self):
        # Balle and Wang 2018, by mpmath: σ = 1, δ = 1e-5; replacing a record moves twice as far.
        one = accounting.GaussianDpEvent(1.0)
        self.assertAlmostEqual(accounting.pld.PLDAccountant().compose(one).get_epsilon(1e-5), 4.3771780956812, 9)
        self.assertAlmostEqual(accounting.pld.PLDAccountant(REPLACE).compose(one).get_epsilon(1e-5), 9.9972561464343, 8)
        self.assertAlmostEqual(accounting.get_epsilon_gaussian(1.0, 1e-5), 4.3771780956812, 9)
        sigma = accounting.get_sigma_gaussian(1.0, 1e-5)
        self.assertGreaterEqual(sigma, 3.730631634815942)
        self.assertAlmostEqual(sigma, 3.730631634815942, 6)

    def test_composition_in_any_form_costs_the_same(self):
        step = accounting.PoissonSampledDpEvent(0.01, accounting.GaussianDpEvent(1.0))
        for make in (accounting.rdp.RdpAccountant, accounting.pld.PLDAccountant):
            whole = make().compose(sampled(1.0, 0.01, 100)).get_epsilon(1e-5)
            self.assertEqual(make().compose(step, 60).compose(step, 40).get_epsilon(1e-5), whole)
            composed = accounting.ComposedDpEvent([accounting.SelfComposedDpEvent(step, 50)] * 2)
            self.assertEqual(make().compose(composed).get_epsilon(1e-5), whole)
            self.assertGreater(make().compose(step, 101).get_epsilon(1e-5), whole)

    def test_nothing_costs_nothing_and_no_privacy_everything(self):
        for make in (accounting.rdp.RdpAccountant, accounting.pld.PLDAccountant):
            self.assertEqual(make().get_epsilon(1e-5), 0)
            self.assertEqual(make().compose(accounting.NoOpDpEvent()).get_delta(0.0), 0)
            self.assertEqual(make().compose(accounting.NonPrivateDpEvent()).get_epsilon(1e-5), math.inf)
            self.assertEqual(make().compose(accounting.NonPrivateDpEvent()).get_delta(3.0), 1)

    def test_the_ledger_is_what_was_composed(self):
        accountant = accounting.rdp.RdpAccountant()
        self.assertEqual(accountant.ledger, accounting.NoOpDpEvent())
        gaussian = accounting.GaussianDpEvent(2.0)
        accountant.compose(gaussian).compose(gaussian, 2)
        self.assertEqual(accountant.ledger, accounting.SelfComposedDpEvent(gaussian, 3))
        accountant.compose(sampled(1.0, 0.1, 5))
        self.assertEqual(accountant.ledger.events[1], sampled(1.0, 0.1, 5))

    def test_what_is_not_supported_is_refused_by_name_and_not_composed(self):
        accountant = accounting.pld.PLDAccountant()
        for event in (accounting.UnsupportedDpEvent(), accounting.ZCDpEvent(0.1),
                      accounting.RepeatAndSelectDpEvent(accounting.GaussianDpEvent(1.0), 2.0, 1.0),
                      accounting.TruncatedSubsampledGaussianDpEvent(100, 0.1, 20, 1.0)):
            name = type(event).__name__
            with self.subTest(name):
                self.assertFalse(accountant.supports(event))
                self.assertFalse(accountant.supports(accounting.SelfComposedDpEvent(event, 2)))
                with self.assertRaisesRegex(accounting.UnsupportedEventError, name):
                    accountant.compose(event)
        self.assertEqual(accountant.ledger, accounting.NoOpDpEvent())
        self.assertEqual(accountant.get_epsilon(1e-5), 0)

    def test_bad_values_say_what_is_wrong(self):
        gaussian = accounting.GaussianDpEvent(1.0)
        for kind, words, call in [
            (ValueError, "noise_multiplier must be finite and at least 0, got -1",
             lambda: accounting.rdp.RdpAccountant().compose(accounting.GaussianDpEvent(-1.0))),
            (ValueError, '"noise_multiplier" must be a number, got "nan"',
             lambda: accounting.rdp.RdpAccountant().compose(accounting.GaussianDpEvent(math.nan))),
            (ValueError, "sampling_probability.*between 0 and 1, got 1.5",
             lambda: accounting.rdp.RdpAccountant().compose(accounting.PoissonSampledDpEvent(1.5, gaussian))),
            (ValueError, "delta must be at least 0 and below 1, got 2",
             lambda: accounting.rdp.RdpAccountant().compose(gaussian).get_epsilon(2.0)),
            (ValueError, '"delta" is "nan"', lambda: accounting.rdp.RdpAccountant().get_epsilon(math.nan)),
            (ValueError, "epsilon must be at least 0, got -1", lambda: accounting.rdp.RdpAccountant().get_delta(-1.0)),
            (ValueError, "positive, got 0", lambda: accounting.rdp.RdpAccountant().compose(gaussian, 0)),
            (TypeError, "must be an integer", lambda: accounting.rdp.RdpAccountant().compose(gaussian, 1.5)),
            (TypeError, "must be a DpEvent", lambda: accounting.rdp.RdpAccountant().compose("gaussian")),
            (ValueError, "orders", lambda: accounting.rdp.RdpAccountant([2, 4])),
            (ValueError, "relative gap must be between 0 and 1",
             lambda: accounting.pld.PLDAccountant(relative_gap=2).compose(gaussian)),
        ]:
            with self.subTest(words), self.assertRaisesRegex(kind, words):
                call()

    def test_events_nested_deeper_than_events_go_are_refused(self):
        event = accounting.GaussianDpEvent(1.0)
        for _ in range(40):
            event = accounting.ComposedDpEvent([event])
        with self.assertRaisesRegex(ValueError, "16 deep"):
            accounting.pld.PLDAccountant().compose(event)

    def test_calibration_meets_the_reference_and_never_exceeds_the_target(self):
        for case in CASES:
            if case["family"] != "calibration" or case["params"]["q"] == 1:
                continue
            plan = case["params"]
            noise = accounting.calibrate_dp_mechanism(
                accounting.pld.PLDAccountant, lambda value: sampled(value, plan["q"], plan["steps"]),
                plan["target_epsilon"], plan["delta"])
            with self.subTest(case["id"]):
                self.assertGreaterEqual(noise, case["lower"])
                self.assertLessEqual(noise, case["upper"] * (1 + 1e-4))

    def test_calibration_of_whole_numbers(self):
        for case in CASES:
            if case["family"] != "stop_at_budget":
                continue
            plan = case["params"]
            for interval in (None, accounting.LowerEndpointAndGuess(1, 10),
                             accounting.ExplicitBracketInterval(1, 10000)):
                kinds = []

                def event(steps):
                    kinds.append(type(steps))
                    return sampled(plan["sigma"], plan["q"], steps) if steps else accounting.NoOpDpEvent()

                steps = accounting.calibrate_dp_mechanism(accounting.pld.PLDAccountant, event, plan["budget_epsilon"],
                                                          plan["delta"], interval, discrete=True)
                with self.subTest(case["id"], interval=interval):
                    self.assertEqual((type(steps), set(kinds)), (int, {int}))
                    self.assertGreaterEqual(steps, case["lower"])
                    self.assertLessEqual(steps, case["upper"])

    def test_calibration_says_why_it_cannot(self):
        calibrate, rdp = accounting.calibrate_dp_mechanism, accounting.rdp.RdpAccountant
        gaussian = accounting.GaussianDpEvent
        with self.assertRaises(ZeroDivisionError):
            calibrate(rdp, lambda value: gaussian(1 / 0), 1.0, 1e-5)
        with self.assertRaises(accounting.mechanism_calibration.NoBracketIntervalFoundError):
            calibrate(rdp, lambda value: gaussian(1.0), 1.0, 1e-5)
        with self.assertRaisesRegex(ValueError, "1 costs epsilon .* above the target 0.01"):
            calibrate(rdp, gaussian, 0.01, 1e-5, accounting.ExplicitBracketInterval(1, 2))
        with self.assertRaises(accounting.mechanism_calibration.NonEmptyAccountantError):
            calibrate(lambda: rdp().compose(gaussian(1.0)), gaussian, 1.0, 1e-5)
        for target, delta in ((0, 1e-5), (math.nan, 1e-5), (1, 0), (1, 1)):
            with self.assertRaises(ValueError):
                calibrate(rdp, gaussian, target, delta, accounting.LowerEndpointAndGuess(0.5, 1))

    def test_a_script_moves_over_by_its_import(self):
        done = subprocess.run([sys.executable, "-B", "-c", SCRIPT], capture_output=True, text=True,
                              env=os.environ | {"PYTHONPATH": str(SOURCE / "python")})
        self.assertEqual(done.returncode, 0, done.stderr)
        (rdp, _), (pld, delta), (noise,) = [list(map(float, line.split())) for line in done.stdout.splitlines()]
        self.assertAlmostEqual(pld, 1.8284, delta=0.002)  # dp-accounting 0.6.0: 1.82824, prv-accountant 0.2.0: 1.8182 to 1.8382
        self.assertTrue(pld < rdp < 2.2)
        self.assertTrue(0 < delta < 0.003)
        self.assertLessEqual(accounting.rdp.RdpAccountant().compose(sampled(noise, 0.01, 1000)).get_epsilon(1e-5), 1)

    def test_the_c_library_refuses_garbage(self):
        library = accounting.library._library()
        deep = b'{"verb":"epsilon","accountant":"rdp","relation":"add_remove","delta":1e-5,"events":' + b"[" * 100000 + b"]" * 100000 + b"}"
        question = dict(accountant="rdp", relation="add_remove", events=[], delta=1e-5)
        for text, words in [(None, "null pointer"), (b"", "no JSON object"), (b"[]", "no JSON object"), (b"{", "no JSON object"),
                            (b"{}", 'lacks "verb"'), (b'{"verb": 3}', '"verb" is 3'), (deep, "16 deep"),
                            (json.dumps({"verb": "guess", **question}).encode(), "known: accountants, supports, epsilon, delta"),
                            (json.dumps({"verb": "epsilon", **question, "accountant": "clt"}).encode(), "unknown accountant"),
                            (json.dumps({"verb": "epsilon", **question, "relation": "swap"}).encode(), "unknown neighbouring relation"),
                            (json.dumps({"verb": "delta", **question}).encode(), 'lacks "epsilon"')]:
            answer = ctypes.c_void_p()
            with self.subTest(words):
                self.assertEqual(library.sotto_accounting_ask(text, ctypes.byref(answer)), 2)
                self.assertIn(words, ctypes.string_at(answer).decode())
                library.sotto_accounting_free(answer)
        self.assertEqual(library.sotto_accounting_ask(b"{}", None), 1)
        library.sotto_accounting_free(None)

    def test_a_missing_library_is_said_with_its_place(self):
        done = subprocess.run([sys.executable, "-B", "-c", "from sotto import accounting; accounting.rdp.RdpAccountant().get_epsilon(1e-5)"],
                              capture_output=True, text=True,
                              env=os.environ | {"PYTHONPATH": str(SOURCE / "python"), "SOTTO_ACCOUNTING": "/nowhere.so"})
        self.assertIn("ImportError", done.stderr)
        self.assertIn("/nowhere.so", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
