"""The fusion network in PyTorch on the CPU at its best settings: the peer of this project's speed claims.

Prints one row per case and variant (tab-separated: case, variant, median_ms, min_ms, repeats) on stdout and
remarks on stderr. bench/README.md describes cases, variants and what the figures mean.

Tensors are time first, [L, M, ...] with M pairs of equal length L, so that one time step is contiguous;
states are [L, M, N, E] with the E = 2 D channels innermost.
"""

import argparse
import copy
import dataclasses
import math
import os
import pathlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "trace.safetensors"

WIDTH, LAYERS, D_STATE, TAPS, HEAD_WIDTH = 256, 2, 16, 4, 128
WIDTH_A, WIDTH_B = 340, 763
NOISE, DROPOUT, HEAD_DROPOUT = 0.05, 0.1, 0.3
LEARNING_RATE, WEIGHT_DECAY, CLIP = 1e-4, 1e-2, 1.0
FOCAL_GAMMA, FOCAL_ALPHA = 2.0, 0.5

BLOCK_BYTES = 2 << 20  # states handled at a time by the fused scan: about what stays in cache
COMPILED_STEPS = 16  # time steps unrolled in one compiled kernel
MEMORY_LIMIT = 12 << 30
SECONDS_PER_ROW = 5.0  # repeats end after this time (at least two are made)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    training: bool
    length: int
    pairs: int

    @property
    def state_bytes(self):
        """One float per token, channel and state of one scan."""
        return 4 * self.length * self.pairs * 2 * WIDTH * D_STATE

    @property
    def scans_alive(self):
        return 2 * LAYERS if self.training else 1


CASES = [
    Case("train-L2-B32", True, 2, 32),
    Case("train-L2-B256", True, 2, 256),
    Case("train-L512-B8", True, 512, 8),
    Case("train-L2048-B1", True, 2048, 1),
    Case("infer-L256-B1", False, 256, 1),
    Case("infer-L2048-B1", False, 2048, 1),
    Case("infer-L8192-B1", False, 8192, 1),
]


# Scans. All compute, per channel e and state n, with a = -exp(a_log) and dt = softplus(raw + bias):
#   h_t = exp(dt_t a) h_{t-1} + dt_t u_t b_t,   y_t = sum_n c_t h_t + d u_t,   result y_t silu(z_t)
# u, raw, z [L, M, E], a_log [E, N], b, c [L, M, N], d, bias [E].


def reference_scan(u, raw, a_log, b, c, d, bias, z):
    """The order of operations of mamba-ssm's selective_scan_ref, channels first."""
    length = len(u)
    u, raw, z = (v.permute(1, 2, 0) for v in (u, raw, z))
    b, c = (v.permute(1, 2, 0) for v in (b, c))
    dt = F.softplus(raw + bias[:, None])
    decay = torch.exp(torch.einsum("mel,en->meln", dt, -torch.exp(a_log)))
    drive = torch.einsum("mel,mnl,mel->meln", dt, b, u)
    h = u.new_zeros(u.shape[0], u.shape[1], a_log.shape[1])
    rows = []
    for t in range(length):
        h = decay[:, :, t] * h + drive[:, :, t]
        rows.append(torch.einsum("men,mn->me", h, c[:, :, t]))
    y = torch.stack(rows, dim=2) + u * d[:, None]
    return (y * F.silu(z)).permute(2, 0, 1)


def chunked_scan(u, raw, a_log, b, c, d, bias, z, chunks=None):
    """Chunks of about sqrt(L) steps run side by side from a zero state, then the state that enters each
    chunk is carried over; the decay since the start of a chunk is the exponential of a cumulative sum.
    chunks = 1 is the plain sequential recurrence."""
    length, pairs, channels = u.shape
    if chunks is None:
        chunks = 1 << (length.bit_length() // 2)
    if length % chunks:
        chunks = 1
    a = -torch.exp(a_log).T
    dt = F.softplus(raw + bias)

    def side_by_side(v):
        return v.unflatten(0, (chunks, length // chunks)).transpose(0, 1)

    dt_chunks = side_by_side(dt)
    decay = torch.exp(dt_chunks.unsqueeze(-2) * a)
    drive = side_by_side(dt * u).unsqueeze(-2) * side_by_side(b).unsqueeze(-1)
    states, h = [], None
    for decay_t, drive_t in zip(decay.unbind(0), drive.unbind(0)):
        h = drive_t if h is None else torch.addcmul(drive_t, decay_t, h)
        states.append(h)
    states = torch.stack(states)
    if chunks > 1:
        since_start = torch.exp(dt_chunks.cumsum(0).unsqueeze(-2) * a)
        entering = [torch.zeros_like(h[0])]
        for decay_k, last_k in zip(since_start[-1, :-1].unbind(0), h[:-1].unbind(0)):
            entering.append(torch.addcmul(last_k, decay_k, entering[-1]))
        states = torch.addcmul(states, since_start, torch.stack(entering))
    y = torch.matmul(side_by_side(c).unsqueeze(-2), states).squeeze(-2)
    y = y.transpose(0, 1).reshape(length, pairs, channels)
    return torch.addcmul(y, u, d) * F.silu(z)


def sequential_scan(*arguments):
    return chunked_scan(*arguments, chunks=1)


# The hand-fused scan: cache-sized blocks of steps and pairs, states recomputed in the backward pass from
# those that enter each block.


def block_shape(length, pairs, channels, states, compiled):
    """Steps and pairs of a block."""
    per_pair = 4 * channels * states
    if compiled:
        steps = min(length, COMPILED_STEPS)
    else:
        steps = min(length, max(1, BLOCK_BYTES // per_pair))
    return steps, min(pairs, max(1, BLOCK_BYTES // (per_pair * steps)))


def block_states(dt, drive, b, a, h):
    """exp(dt a) and the states of one block, both [steps, pairs, N, E]; h [pairs, N, E] enters it."""
    decay = torch.mul(dt.unsqueeze(2), a).exp_()
    states = torch.mul(drive.unsqueeze(2), b.unsqueeze(3))
    for decay_t, state_t in zip(decay.unbind(0), states.unbind(0)):
        h = state_t.addcmul_(decay_t, h)
    return decay, states


def block_forward(dt, drive, b, c, a, h):
    """y [steps, pairs, E] and the state that leaves the block."""
    _, states = block_states(dt, drive, b, a, h)
    return torch.matmul(c.unsqueeze(2), states).squeeze(2), states[-1]


def block_backward(dt, drive, b, c, a, h, grad_y, grad_h):
    """Gradients of dt (through the decay), drive, b, c, a and h; grad_h is that of the state leaving."""
    decay, states = block_states(dt, drive, b, a, h)
    g = torch.mul(grad_y.unsqueeze(2), c.unsqueeze(3))
    rows, decays = g.unbind(0), decay.unbind(0)
    rows[-1].add_(grad_h)
    for t in range(len(rows) - 2, -1, -1):
        rows[t].addcmul_(decays[t + 1], rows[t + 1])
    grad_c = torch.matmul(states, grad_y.unsqueeze(3)).squeeze(3)
    grad_b = torch.matmul(g, drive.unsqueeze(3)).squeeze(3)
    grad_drive = torch.matmul(b.unsqueeze(2), g).squeeze(2)
    g.mul_(decay)
    grad_in = rows[0].clone()
    g[1:].mul_(states[:-1])
    g[0].mul_(h)
    grad_dt = torch.mul(g, a, out=decay).sum(2)
    grad_a = torch.mul(g, dt.unsqueeze(2), out=decay).sum((0, 1))
    return grad_dt, grad_drive, grad_b, grad_c, grad_a, grad_in


def unrolled_forward(dt, drive, b, c, a, h):
    """block_forward without mutation, for the compiler."""
    rows = []
    for t in range(dt.shape[0]):
        h = torch.exp(dt[t].unsqueeze(1) * a) * h + drive[t].unsqueeze(1) * b[t].unsqueeze(2)
        rows.append((h * c[t].unsqueeze(2)).sum(1))
    return torch.stack(rows), h


def unrolled_backward(dt, drive, b, c, a, h, grad_y, grad_h):
    """block_backward without mutation, for the compiler."""
    entering, decays, states = [], [], []
    for t in range(dt.shape[0]):
        entering.append(h)
        decays.append(torch.exp(dt[t].unsqueeze(1) * a))
        h = decays[t] * h + drive[t].unsqueeze(1) * b[t].unsqueeze(2)
        states.append(h)
    grad_a = torch.zeros_like(a)
    rows = []
    for t in range(dt.shape[0] - 1, -1, -1):
        g = grad_h + grad_y[t].unsqueeze(1) * c[t].unsqueeze(2)
        grad_h = g * decays[t]
        e = grad_h * entering[t]
        grad_a = grad_a + (e * dt[t].unsqueeze(1)).sum(0)
        rows.append(
            (
                (e * a).sum(1),
                (g * b[t].unsqueeze(2)).sum(1),
                (g * drive[t].unsqueeze(1)).sum(2),
                (states[t] * grad_y[t].unsqueeze(1)).sum(2),
            )
        )
    grad_dt, grad_drive, grad_b, grad_c = (torch.stack(v[::-1]) for v in zip(*rows))
    return grad_dt, grad_drive, grad_b, grad_c, grad_a, grad_h


compiled_forward = torch.compile(unrolled_forward, dynamic=False)
compiled_backward = torch.compile(unrolled_backward, dynamic=False)


@torch.library.custom_op("peer::scan", mutates_args=())
def fused_forward(
    u: torch.Tensor,
    raw: torch.Tensor,
    a_log: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    bias: torch.Tensor,
    z: torch.Tensor,
    keep: bool,
    compiled: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Result, y before the gate, and the states entering each block of steps [blocks, M, N, E] (empty
    unless keep)."""
    run = compiled_forward if compiled else block_forward
    (length, pairs, channels), n = u.shape, a_log.shape[1]
    steps, group = block_shape(length, pairs, channels, n, compiled)
    a = -torch.exp(a_log).T.contiguous()
    dt = F.softplus(raw + bias)
    drive = dt * u
    y = torch.empty_like(drive)
    blocks = -(-length // steps) if keep else 0
    entering = u.new_empty(blocks, pairs, n, channels)
    for m in range(0, pairs, group):
        part = slice(m, m + group)
        h = u.new_zeros(min(group, pairs - m), n, channels)
        for k, t in enumerate(range(0, length, steps)):
            block = (slice(t, t + steps), part)
            if keep:
                entering[k, part] = h
            y[block], h = run(dt[block], drive[block], b[block], c[block], a, h)
    y.addcmul_(u, d)
    return y * F.silu(z), y, entering


@fused_forward.register_fake
def _(u, raw, a_log, b, c, d, bias, z, keep, compiled):
    length, pairs, channels = u.shape
    n = a_log.shape[1]
    steps, _ = block_shape(length, pairs, channels, n, compiled)
    blocks = -(-length // steps) if keep else 0
    y = u.new_empty(u.shape)
    return y, torch.empty_like(y), u.new_empty(blocks, pairs, n, channels)


@torch.library.custom_op("peer::scan_backward", mutates_args=())
def fused_backward(
    grad: torch.Tensor,
    u: torch.Tensor,
    raw: torch.Tensor,
    a_log: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    d: torch.Tensor,
    bias: torch.Tensor,
    z: torch.Tensor,
    y: torch.Tensor,
    entering: torch.Tensor,
    compiled: bool,
) -> list[torch.Tensor]:
    """Gradients in the order of the inputs u .. z."""
    run = compiled_backward if compiled else block_backward
    (length, pairs, channels), n = u.shape, a_log.shape[1]
    steps, group = block_shape(length, pairs, channels, n, compiled)
    a = -torch.exp(a_log).T.contiguous()
    dt = F.softplus(raw + bias)
    drive = dt * u
    gate = torch.sigmoid(z)
    grad_y = grad * z
    grad_y.mul_(gate)
    grad_z = gate * (1 + z * (1 - gate))
    grad_z.mul_(grad).mul_(y)

    grad_dt, grad_drive = torch.empty_like(drive), torch.empty_like(drive)
    grad_b, grad_c = u.new_empty(b.shape), u.new_empty(c.shape)
    grad_a = torch.zeros_like(a)
    for m in range(0, pairs, group):
        part = slice(m, m + group)
        grad_h = u.new_zeros(min(group, pairs - m), n, channels)
        for k in range(len(entering) - 1, -1, -1):
            block = (slice(k * steps, (k + 1) * steps), part)
            operands = (v[block] for v in (dt, drive, b, c))
            out = run(*operands, a, entering[k, part], grad_y[block], grad_h)
            grad_dt[block], grad_drive[block], grad_b[block], grad_c[block] = out[:4]
            grad_a.add_(out[4])
            grad_h = out[5]
    grad_dt.addcmul_(grad_drive, u)
    grad_u = grad_drive.mul_(dt).addcmul_(grad_y, d)
    grad_raw = grad_dt.mul_(-torch.expm1(-dt))
    grad_d = (grad_y * u).sum((0, 1))
    grad_bias = grad_raw.sum((0, 1))
    grad_a_log = (grad_a * a).T.contiguous()
    return [grad_u, grad_raw, grad_a_log, grad_b, grad_c, grad_d, grad_bias, grad_z]


@fused_backward.register_fake
def _(grad, u, raw, a_log, b, c, d, bias, z, y, entering, compiled):
    return [v.new_empty(v.shape) for v in (u, raw, a_log, b, c, d, bias, z)]


def _setup_context(ctx, inputs, output):
    *tensors, _, ctx.compiled = inputs
    ctx.save_for_backward(*tensors, output[1], output[2])
    ctx.set_materialize_grads(False)


def _fused_gradient(ctx, grad, _grad_y, _grad_entering):
    return *fused_backward(grad, *ctx.saved_tensors, ctx.compiled), None, None


fused_forward.register_autograd(_fused_gradient, setup_context=_setup_context)


def fused_scan(*arguments, compiled=False):
    keep = torch.is_grad_enabled() and any(v.requires_grad for v in arguments)
    return fused_forward(*arguments, keep, compiled)[0]


def fused_compiled_scan(*arguments):
    return fused_scan(*arguments, compiled=True)


# The causal depthwise convolution as shifted products in place: several times quicker here than conv1d with
# its two transposes, and than what the compiler makes of the padded sum.


@torch.library.custom_op("peer::convolve", mutates_args=())
def convolve_forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x [L, M, E], weight [E, 1, TAPS] -> [L, M, E]."""
    taps = weight[:, 0].T.contiguous()
    y = torch.addcmul(bias, x, taps[-1])
    for k in range(1, TAPS):
        y[k:].addcmul_(x[:-k], taps[-1 - k])
    return y


@convolve_forward.register_fake
def _(x, weight, bias):
    return x.new_empty(x.shape)


@torch.library.custom_op("peer::convolve_backward", mutates_args=())
def convolve_backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    grad = grad.contiguous()
    taps = weight[:, 0].T.contiguous()
    grad_taps = torch.empty_like(taps)
    grad_x = torch.mul(grad, taps[-1])
    grad_taps[-1] = torch.mul(grad, x).sum((0, 1))
    for k in range(1, TAPS):
        grad_x[:-k].addcmul_(grad[k:], taps[-1 - k])
        grad_taps[-1 - k] = torch.mul(grad[k:], x[:-k]).sum((0, 1))
    return grad_x, grad_taps.T.contiguous().unsqueeze(1), grad.sum((0, 1))


@convolve_backward.register_fake
def _(grad, x, weight):
    return grad.new_empty(grad.shape), torch.empty_like(weight), grad.new_empty(weight.shape[0])


convolve_forward.register_autograd(
    lambda ctx, grad: convolve_backward(grad, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[:2]),
)


# The network. Names follow the model file, except ahead and back for forward and backward.


class Mamba(nn.Module):
    """One Mamba-1 block of expansion 2 on [L, M, width]."""

    def __init__(self, width, scan):
        super().__init__()
        self.scan = scan
        self.inner, self.rank = 2 * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * self.inner, bias=False)
        self.conv1d = nn.Conv1d(self.inner, self.inner, TAPS, groups=self.inner)
        self.x_proj = nn.Linear(self.inner, self.rank + 2 * D_STATE, bias=False)
        self.dt_proj = nn.Linear(self.rank, self.inner)
        steps = torch.exp(torch.rand(self.inner) * math.log(100) + math.log(1e-3))
        self.dt_proj.bias.data = steps + torch.log(-torch.expm1(-steps))
        decay = torch.log(torch.arange(1.0, D_STATE + 1))
        self.A_log = nn.Parameter(decay.repeat(self.inner, 1))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(self.inner, width, bias=False)

    def convolve(self, x):
        if len(x) > TAPS:
            return convolve_forward(x, self.conv1d.weight, self.conv1d.bias)
        taps = self.conv1d.weight[:, 0].unbind(1)
        y = torch.addcmul(self.conv1d.bias, x, taps[-1])
        for k in range(1, len(x)):
            y = y + F.pad(x[:-k] * taps[-1 - k], (0, 0, 0, 0, k, 0))
        return y

    def forward(self, x):
        x, z = self.in_proj(x).split(self.inner, dim=-1)
        u = F.silu(self.convolve(x))
        dt, b, c = self.x_proj(u).split([self.rank, D_STATE, D_STATE], dim=-1)
        raw = F.linear(dt, self.dt_proj.weight)
        y = self.scan(u, raw, self.A_log, b, c, self.D, self.dt_proj.bias, z)
        return self.out_proj(y)


class Layer(nn.Module):
    def __init__(self, width, scan):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.ahead = Mamba(width, scan)
        self.back = Mamba(width, scan)

    def forward(self, x):
        h = self.norm(x)
        return x + self.ahead(h) + self.back(h.flip(0)).flip(0)


class Side(nn.Module):
    def __init__(self, columns, width):
        super().__init__()
        self.projection = nn.Linear(columns, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        if self.training:
            x = x + NOISE * torch.randn_like(x)
        return F.dropout(F.silu(self.norm(self.projection(x))), DROPOUT, self.training)


class Head(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.hidden = nn.Linear(4 * width, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, r):
        h = F.silu(self.hidden(self.norm(r)))
        return self.out(F.dropout(h, HEAD_DROPOUT, self.training)).squeeze(-1)


class Network(nn.Module):
    def __init__(self, scan, columns_a=WIDTH_A, columns_b=WIDTH_B, width=WIDTH, hidden=HEAD_WIDTH):
        super().__init__()
        self.side_a = Side(columns_a, width)
        self.side_b = Side(columns_b, width)
        self.modality = nn.Parameter(0.02 * torch.randn(2, width))
        self.layers = nn.ModuleList(Layer(width, scan) for _ in range(LAYERS))
        self.head = Head(width, hidden)

    def forward(self, a, b):
        """Scores [M] of a [La, M, columns_a] and b [Lb, M, columns_b]."""
        x = torch.cat([self.side_a(a) + self.modality[0], self.side_b(b) + self.modality[1]])
        for layer in self.layers:
            x = layer(x)
        mean_a, mean_b = x[: len(a)].mean(0), x[len(a) :].mean(0)
        return self.head(torch.cat([mean_a, mean_b, mean_a * mean_b, (mean_a - mean_b).abs()], -1))


def focal_loss(scores, labels):
    cross_entropy = F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    alpha = labels * FOCAL_ALPHA + (1 - labels) * (1 - FOCAL_ALPHA)
    return (alpha * (1 - torch.exp(-cross_entropy)) ** FOCAL_GAMMA * cross_entropy).mean()


def make_optimiser(network, kind):
    exempt, decayed = [], []
    for name, p in network.named_parameters():
        plain = p.ndim < 2 or name.endswith("A_log") or name == "modality"
        (exempt if plain else decayed).append(p)
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": exempt, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, **{kind: True})


# Variants: how the scan is written, and whether the compiler sees the whole network.


@dataclasses.dataclass(frozen=True)
class Variant:
    name: str
    scan: object
    compiled: bool  # whole network
    uses_compiler: bool
    copies: float  # full-size state tensors alive per scan in training, for the memory estimate

    def refusal(self, case):
        """Why the case is not run, or None."""
        copies = self.copies if case.training else min(self.copies, 5)
        need = copies * case.state_bytes * case.scans_alive
        if need > MEMORY_LIMIT:
            return f"needs about {need / 2**30:.0f} GiB"
        if self.scan is reference_scan and case.training and case.length > 64:
            return "the gradient of every indexed step is a full-size tensor: minutes per step"
        if self.compiled and self.scan is sequential_scan and case.length > 16:
            return f"unrolling {case.length} steps takes minutes to compile"
        return None


VARIANTS = [
    Variant("reference", reference_scan, False, False, 7),
    Variant("sequential", sequential_scan, False, False, 5),
    Variant("chunked", chunked_scan, False, False, 8),
    Variant("fused", fused_scan, False, False, 0.1),
    Variant("sequential+compile", sequential_scan, True, True, 5),
    Variant("fused+compile", fused_scan, True, True, 0.1),
    Variant("kernels+compile", fused_compiled_scan, True, True, 0.1),
]


# Checks at the start.


def check_scans():
    """Every scan and its gradient against the reference in float64."""
    torch.manual_seed(3)
    length, pairs, channels, states = 64, 3, 32, 16
    shapes = [(length, pairs, channels)] * 2 + [(channels, states)] + [(length, pairs, states)] * 2
    shapes += [(channels,)] * 2 + [(length, pairs, channels)]
    inputs = [torch.randn(s) for s in shapes]
    upstream = torch.randn(length, pairs, channels)

    def run(scan, dtype):
        leaves = [v.to(dtype, copy=True).requires_grad_() for v in inputs]
        y = scan(*leaves)
        return [y.detach(), *torch.autograd.grad(y, leaves, upstream.to(dtype))]

    expected = run(reference_scan, torch.float64)
    global BLOCK_BYTES
    saved = BLOCK_BYTES
    for scan in (reference_scan, sequential_scan, chunked_scan, fused_scan):
        BLOCK_BYTES = 4 * channels * states * 2 * 5  # several ragged blocks
        for got, want in zip(run(scan, torch.float32), expected):
            error = (got.double() - want).abs().max() / want.abs().max()
            assert error < 2e-5, f"{scan.__name__} differs from the reference by {error:.1e}"
    BLOCK_BYTES = saved
    small = [torch.randn(5, 2, 8) for _ in range(2)] + [torch.randn(8, 4)]
    small += [torch.randn(5, 2, 4) for _ in range(2)] + [torch.randn(8), torch.randn(8), torch.randn(5, 2, 8)]
    h, grad_h = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    operands = (small[0].abs(), small[1], small[3], small[4], -small[2].exp().T.contiguous(), h)
    pairs_of = [(block_forward, unrolled_forward, ()), (block_backward, unrolled_backward, (small[7], grad_h))]
    for plain, unrolled, more in pairs_of:
        for got, want in zip(unrolled(*operands, *more), plain(*operands, *more)):
            assert torch.allclose(got, want, rtol=1e-4, atol=1e-4), f"{unrolled.__name__} differs"


def check_convolution():
    """The shifted products and their gradient against conv1d."""
    torch.manual_seed(4)
    x, weight, bias, upstream = (torch.randn(s) for s in ((9, 2, 8), (8, 1, TAPS), (8,), (9, 2, 8)))

    def conv1d(x, weight, bias):
        return F.conv1d(F.pad(x.permute(1, 2, 0), (TAPS - 1, 0)), weight, bias, groups=8).permute(2, 0, 1)

    results = []
    for function in (convolve_forward, conv1d):
        leaves = [v.clone().requires_grad_() for v in (x, weight, bias)]
        y = function(*leaves)
        results.append([y.detach(), *torch.autograd.grad(y, leaves, upstream)])
    for got, want in zip(*results):
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-4), "convolution differs from conv1d"


def check_network():
    """The scores of the first step of the project's training trace."""
    if not FIXTURE.exists():
        print("peer_torch: no training trace here, network not checked", file=sys.stderr)
        return
    from safetensors.torch import load_file

    t = load_file(FIXTURE)
    hidden, width = t["initial.head.hidden.weight"].shape[0], t["initial.modality"].shape[1]
    network = Network(fused_scan, t["a"].shape[1], t["b"].shape[1], width, hidden).eval()
    names = {name: name.replace(".ahead.", ".forward.").replace(".back.", ".backward.")
             for name in network.state_dict()}
    network.load_state_dict({name: t["initial." + stored] for name, stored in names.items()})
    sides = [t[s].split(t[s + "_offsets"].diff().tolist()) for s in ("a", "b")]
    with torch.inference_mode():
        scores = torch.stack([network(a[:, None], b[:, None])[0] for a, b in zip(*sides)])
    error = (scores - t["scores"][0]).abs().max()
    assert error < 1e-5, f"network differs from the training trace by {error:.1e}"


# Timing.


def milliseconds(step, repeats):
    """Times of step in ms after two runs that do not count (the first one compiles)."""
    step()
    step()
    started = time.perf_counter()
    times = []
    while len(times) < repeats:
        if len(times) >= 2 and time.perf_counter() - started > SECONDS_PER_ROW:
            break
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def quicker_optimiser(network):
    """fused or foreach, whichever steps faster here."""
    best = {}
    for kind in ("fused", "foreach"):
        trial = copy.deepcopy(network)
        for p in trial.parameters():
            p.grad = torch.randn_like(p)
        best[kind] = min(milliseconds(make_optimiser(trial, kind).step, 5))
    print(", ".join(f"AdamW {k} {v:.2f} ms" for k, v in best.items()), file=sys.stderr)
    return min(best, key=best.get)


def make_step(case, variant, optimiser_kind):
    torch.manual_seed(1)
    network = Network(variant.scan)
    half = case.length // 2
    a, b = torch.randn(half, case.pairs, WIDTH_A), torch.randn(half, case.pairs, WIDTH_B)
    labels = (torch.arange(case.pairs) % 2).float()
    parameters = list(network.parameters())
    if not case.training:
        network.eval()
        forward = torch.compile(network, dynamic=False) if variant.compiled else network

        def infer():
            with torch.inference_mode():
                return forward(a, b)

        return infer

    optimiser = make_optimiser(network, optimiser_kind)

    def loss_of(a, b, labels):
        return focal_loss(network(a, b), labels)

    loss_function = torch.compile(loss_of, dynamic=False) if variant.compiled else loss_of

    def train():
        optimiser.zero_grad(set_to_none=True)
        loss_function(a, b, labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
        optimiser.step()

    return train


def run(case, variant, optimiser_kind, repeats):
    """Prints one row, or the reason why there is none."""
    reason = variant.refusal(case)
    if reason is None:
        try:
            torch._dynamo.reset()
            times = milliseconds(make_step(case, variant, optimiser_kind), repeats)
        except Exception as error:  # a variant that this PyTorch or machine cannot run is no result
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if reason is not None:
        print(f"{case.name} {variant.name}: skipped, {reason}", file=sys.stderr)
        return
    row = (f"{statistics.median(times):.3f}", f"{min(times):.3f}", str(len(times)))
    print(case.name, variant.name, *row, sep="\t", flush=True)


def chosen(names, table, what):
    if not names:
        return table
    known = {row.name: row for row in table}
    missing = [n for n in names.split(",") if n not in known]
    if missing:
        raise SystemExit(f"unknown {what} {', '.join(missing)}; known: {', '.join(known)}")
    return [known[n] for n in names.split(",")]


def keep_freed_memory():
    """Starts this program again with an allocator that gives no memory back: otherwise every large tensor is
    mapped and faulted in anew. glibc reads these settings only at the start."""
    settings = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
    if any(name not in os.environ for name in settings):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**settings, **os.environ})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="", help=f"comma list of {', '.join(c.name for c in CASES)}")
    parser.add_argument("--variants", default="", help=f"comma list of {', '.join(v.name for v in VARIANTS)}")
    parser.add_argument("--repeats", type=int, default=15, help="most timed runs per row (default 15)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="three runs per row, nothing compiled")
    options = parser.parse_args()
    keep_freed_memory()
    cases = chosen(options.cases, CASES, "case")
    variants = chosen(options.variants, VARIANTS, "variant")
    if options.quick:
        options.repeats = min(options.repeats, 3)
        variants = [v for v in variants if not v.uses_compiler]

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    check_scans()
    check_convolution()
    check_network()
    print(f"PyTorch {torch.__version__}, {options.threads} threads", file=sys.stderr)
    kind = quicker_optimiser(Network(fused_scan))
    print("case", "variant", "median_ms", "min_ms", "repeats", sep="\t", flush=True)
    for case in cases:
        for variant in variants:
            run(case, variant, kind, options.repeats)


if __name__ == "__main__":
    main()
