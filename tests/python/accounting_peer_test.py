"""sotto.accounting beside dp-accounting: the same script and events under both names.

Usage: accounting_peer_test.py LIBSOTTO_OPS SITE LIBSOTTO_ACCOUNTING    (77 = skipped: dp-accounting is not installed)
"""
import os, pathlib, sys, unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


if len(sys.argv) < 4:
    skip("built with sanitizers, whose runtime Python does not have")
os.environ["SOTTO_ACCOUNTING"] = sys.argv[3]
sys.path.insert(0, str(SOURCE / "python"))
from sotto import accounting
try:
    import dp_accounting
except ImportError as error:
    skip(f"dp-accounting is not installed ({error}); pip install dp-accounting==0.6.0")


def both(make):
    return make(accounting), make(dp_accounting)


def sampled(package, noise, rate, steps):
    return package.SelfComposedDpEvent(package.PoissonSampledDpEvent(rate, package.GaussianDpEvent(noise)), steps)


class PeerTest(unittest.TestCase):
    def test_pld_agrees_where_the_peer_is_sound(self):
        # Their grid of 1e-4 overstates by up to 1e-4 · √steps / 2; from δ = 1e-9 down their rounding shows.
        for noise, rate, steps, delta in [(1.0, 0.01, 1000, 1e-5), (2.0, 0.1, 100, 1e-6), (0.8, 0.05, 50, 1e-5), (1.0, 1.0, 3, 1e-6)]:
            ours, theirs = both(lambda package: package.pld.PLDAccountant().compose(sampled(package, noise, rate, steps)))
            lower, upper = ours.get_epsilon_bounds(delta)
            with self.subTest(noise=noise, rate=rate):
                self.assertLessEqual(lower, theirs.get_epsilon(delta) * (1 + 1e-9))
                self.assertLessEqual(upper, theirs.get_epsilon(delta) * (1 + 1e-3))
                self.assertGreaterEqual(upper, theirs.get_epsilon(delta) * (1 - 5e-3))
                self.assertLessEqual(ours.get_delta_bounds(1.0)[0], theirs.get_delta(1.0) * (1 + 1e-6))

    def test_other_events_agree_under_each_relation_that_both_know(self):
        def events(package):
            module, repeat, gaussian, laplace = package.dp_event, package.SelfComposedDpEvent, package.GaussianDpEvent, package.LaplaceDpEvent
            return [repeat(laplace(5.0), 50), repeat(module.DiscreteLaplaceDpEvent(0.3, 2), 20), repeat(gaussian(3.0), 10),
                    module.RandomizedResponseDpEvent(0.5, 3), repeat(package.PoissonSampledDpEvent(0.1, laplace(2.0)), 50),
                    repeat(package.PoissonSampledDpEvent(0.1, gaussian(2.0)), 50),
                    repeat(module.MixtureOfGaussiansDpEvent(2.0, [0.0, 1.0, 2.0], [0.9, 0.08, 0.02]), 50),
                    package.ComposedDpEvent([laplace(3.0), repeat(gaussian(4.0), 3)])]

        agreed = 0
        for ours, theirs in zip(*both(events)):
            for relation in accounting.NeighboringRelation:
                mine = accounting.pld.PLDAccountant(relation)
                peer = dp_accounting.pld.PLDAccountant(dp_accounting.NeighboringRelation[relation.name])
                if not mine.supports(ours) or not peer.supports(theirs):
                    continue
                lower, upper = mine.compose(ours).get_epsilon_bounds(1e-5)
                found = peer.compose(theirs).get_epsilon(1e-5)
                agreed += 1
                with self.subTest(event=str(ours), relation=relation):
                    self.assertLessEqual(lower, found * (1 + 1e-9))
                    self.assertLessEqual(found, upper * (1 + 2e-3))
        self.assertGreaterEqual(agreed, 16)

    def test_rdp_is_at_most_what_the_peer_says(self):
        for noise, rate, steps, delta in [(1.0, 0.01, 1000, 1e-5), (4.0, 0.1, 1000, 1e-8), (2.0, 0.001, 100000, 1e-6)]:
            ours, theirs = both(lambda package: package.rdp.RdpAccountant().compose(sampled(package, noise, rate, steps)))
            with self.subTest(noise=noise, rate=rate):
                self.assertLessEqual(ours.get_epsilon(delta), theirs.get_epsilon(delta) * 1.001)
                self.assertGreaterEqual(ours.get_epsilon(delta), theirs.get_epsilon(delta) * 0.97)

    def test_every_event_of_the_peer_is_there_with_its_fields(self):
        for name in dir(dp_accounting):
            theirs = getattr(dp_accounting, name)
            if not (isinstance(theirs, type) and issubclass(theirs, dp_accounting.DpEvent)) or theirs is dp_accounting.DpEvent:
                continue
            with self.subTest(name):
                fields = [field.name for field in theirs.__attrs_attrs__]
                ours = getattr(accounting, name)
                self.assertEqual([*getattr(ours, "__dataclass_fields__", {})], fields)

    def test_names_of_the_package(self):
        ours = set(dir(accounting))
        for name in ("dp_event", "dp_event_builder", "mechanism_calibration", "pld", "privacy_accountant", "rdp", "DpEventBuilder",
                     "calibrate_dp_mechanism", "ExplicitBracketInterval", "LowerEndpointAndGuess", "NeighboringRelation",
                     "PrivacyAccountant", "UnsupportedEventError", "get_epsilon_gaussian", "get_sigma_gaussian"):
            self.assertTrue(hasattr(dp_accounting, name), name)
            self.assertIn(name, ours)
        self.assertEqual([each.name for each in accounting.NeighboringRelation], [each.name for each in dp_accounting.NeighboringRelation])

    def test_events_of_the_peer_are_read_from_their_named_tuples(self):
        def plain(value):
            if hasattr(value, "_asdict"):
                return {key: plain(inner) for key, inner in value._asdict().items()}
            return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

        ours, theirs = both(lambda package: sampled(package, 1.0, 0.01, 1000))
        self.assertEqual({**plain(theirs.to_named_tuple()), "module_name": 0, "event": 0}, {**ours.to_json(), "module_name": 0, "event": 0})
        question = dict(verb="epsilon", accountant="rdp", relation="add_remove", delta=1e-5)
        self.assertEqual(accounting.library.ask(events=plain(theirs.to_named_tuple()), **question),
                         accounting.library.ask(events=ours.to_json(), **question))

    def test_the_builder_builds_the_same(self):
        def build(package):
            builder = package.DpEventBuilder()
            gaussian = package.GaussianDpEvent(1.0)
            builder.compose(gaussian)
            builder.compose(package.SelfComposedDpEvent(gaussian, 4), 2)
            builder.compose(package.NoOpDpEvent())
            builder.compose(package.LaplaceDpEvent(2.0), 3)
            return builder.build()

        ours, theirs = both(build)
        self.assertEqual([(each.event.noise_multiplier, each.count) for each in ours.events],
                         [(each.event.noise_multiplier, each.count) for each in theirs.events])

    def test_calibration_agrees(self):
        def noise(package):
            return package.calibrate_dp_mechanism(package.pld.PLDAccountant, lambda value: sampled(package, value, 0.1, 100), 1.0, 1e-6)

        ours, theirs = both(noise)
        self.assertAlmostEqual(ours / theirs, 1, delta=1e-3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
