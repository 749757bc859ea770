"""torch.ops.sotto in Python: torch.library.opcheck, results against PyTorch in double precision, errors, the example.

Usage: ops_test.py LIBSOTTO_OPS SITE    (SITE: where scripts/setup unpacked Python's torch; 77 = skipped)
"""
import math, os, pathlib, subprocess, sys, unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


if len(sys.argv) < 3:
    skip("built with sanitizers, whose runtime Python does not have")
LIBRARY, SITE = sys.argv[1:3]


def start():
    """Puts SITE's torch and what it needs of CUDA in the way of Python, which reads them when it begins."""
    folders = [*map(str, pathlib.Path(SITE).glob("nvidia/*/lib")), "/usr/local/cuda/lib64", "/usr/local/cuda/extras/CUPTI/lib64"]
    if os.environ.get("SOTTO_OPS_TEST") == "started":
        return
    path = ":".join([*folders, os.environ.get("LD_LIBRARY_PATH", "")])
    os.execve(sys.executable, [sys.executable, "-B", *sys.argv],
              os.environ | {"SOTTO_OPS_TEST": "started", "PYTHONPATH": SITE, "LD_LIBRARY_PATH": path})


if not (pathlib.Path(SITE) / "torch/__init__.py").exists():
    skip("Python's torch is not there; scripts/setup --with-recommended unpacks it where there is a CUDA toolkit")
start()
try:
    import torch
    import torch._subclasses.fake_tensor  # needs sympy
except (ImportError, OSError) as error:
    skip(f"Python {sys.version_info.major}.{sys.version_info.minor} cannot import torch from {SITE}: {error}")

torch.ops.load_library(LIBRARY)
sotto = torch.ops.sotto
KEY = "00" * 31 + "07"
BATCH, LENGTH, P, D, ROWS = 5, 7, 6, 4, 9
COUNTS, HEAD_COUNTS = [3, 0, 7, 1, 4], [2, 5, 7, 0, 1]  # rows of ragged samples, 15 each


def starts_of(counts):
    return torch.tensor([sum(counts[:i]) for i in range(len(counts) + 1)])


def inputs(device="cpu"):
    torch.manual_seed(2)
    one = dict(a=torch.randn(BATCH, D), g=torch.randn(BATCH, P))
    many = dict(a=torch.randn(BATCH * LENGTH, D), g=torch.randn(BATCH * LENGTH, P))
    ids, factors = torch.randint(ROWS, (BATCH, LENGTH)), torch.rand(BATCH)
    packed = dict(a=torch.randn(15, D), g=torch.randn(15, P), ids=torch.randint(ROWS, (15,)), starts=starts_of(COUNTS))
    head = (torch.randn(15, D), torch.randn(15, ROWS), starts_of(HEAD_COUNTS), max(HEAD_COUNTS))
    where = (packed["starts"], max(COUNTS))
    calls = [
        (sotto.row_norms, (torch.randn(BATCH, 3, 2, dtype=torch.bfloat16),)),
        (sotto.clipped_rows, (torch.randn(BATCH, 3, 2).bfloat16(), factors)),
        (sotto.row_norms, (torch.randn(BATCH, 3, 2),)),
        (sotto.outer_norms, (one["a"], one["g"], True)),
        (sotto.ghost_norms, (many["a"], many["g"], LENGTH, False)),
        (sotto.direct_norms, (many["a"], many["g"], LENGTH, True)),
        (sotto.embedding_norms, (ids, many["g"], 3)),
        (sotto.tied_cross_norms, (ids, torch.randn(BATCH * LENGTH, D), many["a"], torch.randn(BATCH * LENGTH, ROWS), -1)),
        (sotto.clip_factors, (torch.rand(BATCH, dtype=torch.float64), 0.5)),
        (sotto.clipped_rows, (torch.randn(BATCH, 3, 2), factors)),
        (sotto.clipped_outer, (many["g"], many["a"], factors, LENGTH)),
        (sotto.clipped_embedding, (ids, many["g"], factors, ROWS, 3)),
        (sotto.ragged_ghost_norms, (packed["a"], packed["g"], *where, False)),
        (sotto.ragged_direct_norms, (packed["a"], packed["g"], *where, True)),
        (sotto.ragged_embedding_norms, (packed["ids"], packed["g"], *where, 3)),
        (sotto.ragged_tied_cross_norms, (packed["ids"], torch.randn(15, D), *where, *head, -1)),
        (sotto.ragged_clipped_outer, (packed["g"], packed["a"], factors, *where)),
        (sotto.ragged_clipped_embedding, (packed["ids"], packed["g"], factors, *where, ROWS, 3)),
        (sotto.add_gaussian, (torch.randn(BATCH, 3), 2.0, KEY, 4, 1)),
    ]
    move = lambda x: x.to(device) if isinstance(x, torch.Tensor) else x
    return [(operator, tuple(map(move, arguments))) for operator, arguments in calls]


def gradients(a, g):
    """[B, p, d] of a linear layer, in double."""
    return torch.einsum("btp,btd->bpd", g.double().view(BATCH, -1, P), a.double().view(BATCH, -1, D))


def table_gradients(ids, g, padding):
    rows = torch.zeros(BATCH, ROWS, g.size(1), dtype=torch.float64)
    for i in range(BATCH):
        for t in range(LENGTH):
            if ids[i, t] != padding:
                rows[i, ids[i, t]] += g[i * LENGTH + t].double()
    return rows


def pieces(x, starts):
    """The samples of packed rows."""
    return [x[begin:end] for begin, end in zip(starts, starts[1:])]


def ragged_gradients(a, g, starts):
    """[B, columns of g, columns of a], in double."""
    return torch.stack([own_g.double().t() @ own_a.double() for own_a, own_g in zip(pieces(a, starts), pieces(g, starts))])


def ragged_table_gradients(ids, g, starts, padding):
    rows = torch.zeros(len(starts) - 1, ROWS, g.size(1), dtype=torch.float64)
    for table, own, own_g in zip(rows, pieces(ids, starts), pieces(g, starts)):
        for v, row in zip(own, own_g):
            if v != padding:
                table[v] += row.double()
    return rows


def squares(x):
    return x.flatten(1).square().sum(1)


class OpsTest(unittest.TestCase):
    def assertBound(self, got, truth):
        self.assertEqual((got.dtype, got.shape), (torch.float64, truth.shape))
        self.assertTrue((got >= truth).all(), (got, truth))
        # What float sums may add: (1 + kSampleRounding · Σ‖g‖‖a‖ / ‖Σ g aᵀ‖)², with a few times that for cancellation.
        self.assertTrue((got <= truth * 1.001).all(), (got, truth))

    def assertSum(self, got, truth):
        self.assertEqual(got.dtype, torch.float32)
        self.assertLess((got - truth).norm().item(), 1e-6 * truth.norm().item())

    def test_opcheck_passes_for_every_operator(self):
        for operator, arguments in inputs():
            with self.subTest(str(operator)):
                torch.library.opcheck(operator.default, arguments)
        found = {name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names() if name.startswith("sotto::")}
        self.assertEqual(found - {"routed_linear"}, {str(operator).split(".")[-1] for operator, _ in inputs()},
                         "an operator without a case here")

    def test_routed_linear_is_a_layer_that_scripts_and_differentiates(self):
        experts, expert = 3, torch.randint(-1, 3, (BATCH, LENGTH))
        x, weight, bias = torch.randn(BATCH, LENGTH, D), torch.randn(experts, P, D), torch.randn(experts, P)
        # How many rows an expert has is a value, which tensors without values do not have: the other checks of opcheck need those.
        torch.library.opcheck(sotto.routed_linear.default, (x, expert, weight, bias),
                              test_utils=("test_schema", "test_autograd_registration"))

        def dense(x, weight, bias):
            every = torch.einsum("btd,epd->btep", x, weight) + bias
            return (every * torch.nn.functional.one_hot(expert + 1)[..., 1:].unsqueeze(-1)).sum(2)

        class Layer(torch.nn.Module):
            def forward(self, x, expert, weight, bias):
                return torch.ops.sotto.routed_linear(x, expert, weight, bias)

        scripted, losses = torch.jit.script(Layer()), []
        for layer in (lambda *tensors: scripted(tensors[0], expert, *tensors[1:]), dense):
            tensors = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
            loss = layer(*tensors).tanh().square().sum()
            losses.append([loss, *torch.autograd.grad(loss, tensors)])
        for got, truth in zip(*losses):
            self.assertTrue(got.allclose(truth, rtol=1e-12, atol=1e-12), (got, truth))  # doubles, in another order

    def test_norms_are_upper_bounds_close_to_the_truth(self):
        calls = dict((str(operator).split(".")[-1], arguments) for operator, arguments in inputs())
        (x,) = calls["row_norms"]
        self.assertBound(sotto.row_norms(x), squares(x.double()))
        self.assertBound(sotto.row_norms(x.bfloat16()), squares(x.bfloat16().double()))
        a, g, _ = calls["outer_norms"]
        truth = squares(gradients(a, g))
        self.assertBound(sotto.outer_norms(a, g), truth)
        self.assertBound(sotto.outer_norms(a, g, bias=True), truth + squares(g.double()))
        a, g, length, _ = calls["ghost_norms"]
        truth, bias = squares(gradients(a, g)), squares(g.double().view(BATCH, LENGTH, P).sum(1))
        for norms in (sotto.ghost_norms, sotto.direct_norms):
            self.assertBound(norms(a, g, length), truth)
            self.assertBound(norms(a, g, length, True), truth + bias)
            self.assertBound(norms(a.view(BATCH, LENGTH, D), g.view(BATCH, LENGTH, P), length), truth)
        ids, g, padding = calls["embedding_norms"]
        self.assertBound(sotto.embedding_norms(ids, g, padding), squares(table_gradients(ids, g, padding)))
        ids, g, a_head, g_head, _ = calls["tied_cross_norms"]
        table = table_gradients(ids, g, -1)
        head = torch.einsum("btv,btd->bvd", g_head.double().view(BATCH, LENGTH, ROWS), a_head.double().view(BATCH, LENGTH, D))
        whole = sotto.embedding_norms(ids, g) + sotto.ghost_norms(a_head, g_head, LENGTH) + \
            sotto.tied_cross_norms(ids, g, a_head, g_head)
        truth = squares(table + head)
        self.assertTrue((whole >= truth).all(), (whole, truth))
        # Where the two parts may cancel, a 64th of them is kept (kernels/embedding_norms/embedding_norms.h).
        self.assertTrue((whole <= truth + (squares(table) + squares(head)) / 64).all(), (whole, truth))

    def test_sums_are_those_of_clipped_gradients(self):
        calls = dict((str(operator).split(".")[-1], arguments) for operator, arguments in inputs())
        squared, clip_norm = calls["clip_factors"]
        factors = sotto.clip_factors(squared, clip_norm)
        self.assertTrue((factors.double() * squared.sqrt() <= clip_norm).all())
        self.assertLess((factors - (clip_norm / squared.sqrt()).clamp(max=1)).abs().max().item(), 1e-6)
        x, f = calls["clipped_rows"]
        self.assertSum(sotto.clipped_rows(x, f), torch.einsum("b...,b->...", x.double(), f.double()))
        g, a, f, length = calls["clipped_outer"]
        self.assertSum(sotto.clipped_outer(g, a, f, length), torch.einsum("bpd,b->pd", gradients(a, g), f.double()))
        strided = sotto.clipped_outer(g.t().contiguous().t(), a.repeat(1, 2)[:, :D], f, length)
        self.assertTrue(strided.equal(sotto.clipped_outer(g, a, f, length)), "strides change nothing")
        ids, g, f, rows, padding = calls["clipped_embedding"]
        self.assertSum(sotto.clipped_embedding(ids, g, f, rows, padding),
                       torch.einsum("bvd,b->vd", table_gradients(ids, g, padding), f.double()))

    def test_ragged_norms_are_those_of_each_samples_own_rows(self):
        calls = dict((str(operator).split(".")[-1], arguments) for operator, arguments in inputs())
        a, g, starts, longest, _ = calls["ragged_ghost_norms"]
        truth = squares(ragged_gradients(a, g, starts))
        bias = torch.stack([own.double().sum(0).square().sum() for own in pieces(g, starts)])
        for norms in (sotto.ragged_ghost_norms, sotto.ragged_direct_norms):
            self.assertBound(norms(a, g, starts, longest), truth)
            self.assertBound(norms(a, g, starts, longest, True), truth + bias)
            self.assertTrue(norms(a, g, starts, longest + 9).equal(norms(a, g, starts, longest)), "a bound, not a shape")
        ids, g, starts, longest, padding = calls["ragged_embedding_norms"]
        self.assertBound(sotto.ragged_embedding_norms(ids, g, starts, longest, padding),
                         squares(ragged_table_gradients(ids, g, starts, padding)))
        ids, g, starts, longest, a_head, g_head, head_starts, head_longest, _ = calls["ragged_tied_cross_norms"]
        table, head = ragged_table_gradients(ids, g, starts, -1), ragged_gradients(a_head, g_head, head_starts)
        whole = sotto.ragged_embedding_norms(ids, g, starts, longest) + \
            sotto.ragged_ghost_norms(a_head, g_head, head_starts, head_longest) + \
            sotto.ragged_tied_cross_norms(ids, g, starts, longest, a_head, g_head, head_starts, head_longest)
        truth = squares(table + head)
        self.assertTrue((whole >= truth).all(), (whole, truth))
        self.assertTrue((whole <= truth + (squares(table) + squares(head)) / 64).all(), (whole, truth))

    def test_ragged_sums_are_those_of_clipped_gradients(self):
        calls = dict((str(operator).split(".")[-1], arguments) for operator, arguments in inputs())
        g, a, f, starts, longest = calls["ragged_clipped_outer"]
        self.assertSum(sotto.ragged_clipped_outer(g, a, f, starts, longest),
                       torch.einsum("bpd,b->pd", ragged_gradients(a, g, starts), f.double()))
        ids, g, f, starts, longest, rows, padding = calls["ragged_clipped_embedding"]
        self.assertSum(sotto.ragged_clipped_embedding(ids, g, f, starts, longest, rows, padding),
                       torch.einsum("bvd,b->vd", ragged_table_gradients(ids, g, starts, padding), f.double()))

    def test_not_finite_samples_leave_the_others_alone(self):
        a, g = torch.randn(4, D), torch.randn(4, P)
        a[1, 0], g[2, 1] = math.nan, math.inf
        factors = sotto.clip_factors(sotto.outer_norms(a, g), 1.0)
        self.assertEqual((factors == 0).tolist(), [False, True, True, False])
        total = sotto.clipped_outer(g, a, factors)
        self.assertTrue(total.isfinite().all())
        kept = [0, 3]
        self.assertTrue(total.allclose(sotto.clipped_outer(g[kept], a[kept], factors[kept]), rtol=1e-6))

    def test_noise_is_named_by_key_step_and_tensor(self):
        zero = torch.zeros(20000)
        noise = lambda key=KEY, step=0, tensor=0, stddev=3.0: sotto.add_gaussian(zero, stddev, key, step, tensor)
        self.assertTrue(noise().equal(noise()))
        for other in (noise(key="00" * 32), noise(step=1), noise(tensor=1)):
            # 20,000 pairs of independent normals correlate by more than 0.05 with a probability of 1e-12.
            self.assertLess(abs(torch.corrcoef(torch.stack([noise(), other]))[0, 1].item()), 0.05)
        # The standard deviation of that many is off by 5 % with a probability below 1e-22, the mean by 0.2 below 1e-20.
        self.assertAlmostEqual(noise().std().item(), 3.0, delta=0.15)
        self.assertAlmostEqual(noise().mean().item(), 0.0, delta=0.2)
        shift = torch.full((20000,), 64.0)
        self.assertLess((sotto.add_gaussian(shift, 3.0, KEY, 0, 0) - shift - noise()).abs().max().item(), 1e-5)

    def test_wrong_arguments_are_named(self):
        a, g = torch.randn(4, D), torch.randn(4, P)
        for words, call in {
            "a must be Float, got Double": lambda: sotto.outer_norms(a.double(), g),
            "length must divide the rows: 4 rows, length 3": lambda: sotto.ghost_norms(a, g, 3),
            "ids must be \\[batch, length\\]": lambda: sotto.embedding_norms(torch.zeros(4).long(), g),
            "segments go from 0 to 3, expected 0 to 4 rows": lambda: sotto.ragged_ghost_norms(a, g, torch.tensor([0, 1, 3]), 2),
            "segment 1 has 3 rows, expected 0 to 2": lambda: sotto.ragged_direct_norms(a, g, torch.tensor([0, 1, 4]), 2),
            "starts must be Long, got Int": lambda: sotto.ragged_clipped_outer(g, a, torch.ones(2), torch.tensor([0, 1, 4]).int(), 3),
            "starts must have an entry a sample": lambda: sotto.ragged_ghost_norms(a, g, torch.tensor([[0, 4]]), 4),
            "ids must be \\[rows\\], got shape \\[2, 2\\]": lambda: sotto.ragged_embedding_norms(torch.zeros(2, 2).long(), g, torch.tensor([0, 4]), 4),
            "ids must be Long": lambda: sotto.embedding_norms(torch.zeros(2, 2).int(), g),
            "clip_norm must be positive": lambda: sotto.clip_factors(torch.ones(2).double(), -1.0),
            "a key has 64 hexadecimal digits, got 3": lambda: sotto.add_gaussian(a, 1.0, "abc", 0, 0),
            "step ≥ 0": lambda: sotto.add_gaussian(a, 1.0, KEY, -1, 0),
        }.items():
            with self.subTest(words), self.assertRaisesRegex(RuntimeError, words):
                call()

    def test_cuda_gives_the_same(self):
        if not torch.cuda.is_available():
            self.skipTest("no GPU")
        for (operator, here), (_, there) in zip(inputs(), inputs("cuda")):
            with self.subTest(str(operator)):
                torch.testing.assert_close(operator(*there).cpu(), operator(*here), rtol=1e-5, atol=1e-6)
                torch.library.opcheck(operator.default, there)

    def test_the_example_runs(self):
        done = subprocess.run([sys.executable, "-B", SOURCE / "examples/python/clip_and_noise.py", LIBRARY], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("clipped sum: off by", done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
