"""Clips and noises the gradients of a model of your own with sotto's kernels, and checks the result against PyTorch.
    python examples/python/clip_and_noise.py build/release/lib/libsotto_ops.so"""
import secrets, sys
import torch
from torch import nn

torch.ops.load_library(sys.argv[1])
sotto, clip_norm, noise_multiplier = torch.ops.sotto, 1.0, 1.1
model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 3))
x, y, key = torch.randn(64, 20), torch.randint(3, (64,)), secrets.token_hex(32)  # who has the key can remove the noise

layers, a, g = [m for m in model if isinstance(m, nn.Linear)], {}, {}
def keep(layer, inputs, output):  # what goes into a layer, and what comes back to its output
    a[layer] = inputs[0].detach()
    output.register_hook(lambda gradient: g.__setitem__(layer, gradient))
hooks = [layer.register_forward_hook(keep) for layer in layers]
nn.functional.cross_entropy(model(x), y, reduction="sum").backward(inputs=[layers[0].bias])  # no weight's gradient

squared = sum(sotto.outer_norms(a[m], g[m], bias=True) for m in layers)  # upper bounds of ‖gradient of sample i‖²
factors = sotto.clip_factors(squared, clip_norm)
sums = [s for m in layers for s in (sotto.clipped_outer(g[m], a[m], factors), sotto.clipped_rows(g[m], factors))]
noised = [sotto.add_gaussian(s, noise_multiplier * clip_norm, key, 0, k) for k, s in enumerate(sums)]  # step 0, tensor k

[hook.remove() for hook in hooks]
truth = [torch.zeros_like(p) for p in model.parameters()]  # one sample at a time
for i in range(len(x)):
    own = torch.autograd.grad(nn.functional.cross_entropy(model(x[i:i + 1]), y[i:i + 1]), list(model.parameters()))
    scale = min(1.0, clip_norm / torch.cat([p.flatten() for p in own]).norm().item())
    truth = [t + scale * p for t, p in zip(truth, own)]
off = max((s - t).abs().max().item() for s, t in zip(sums, truth))
spread = torch.cat([(n - s).flatten() for n, s in zip(noised, sums)]).std().item()
print(f"clipped sum: off by {off:.1e}; noise: standard deviation {spread:.3f} for {noise_multiplier * clip_norm}")
assert off < 1e-5 and abs(spread - noise_multiplier * clip_norm) < 0.2
