"""KaSA's truncation: the studio's removal by subtraction against PEFT's own, on identical weights.

PEFT decomposes the whole matrix in the weight's precision and rebuilds it; the studio removes the
smallest triplets by subtraction in float64. Errors are ‖W' − W'_ref‖_F/‖W'_ref‖_F against a float64 SVD.

What was tried (4096×4096, r = 8 and 11008×4096, r = 128; 2 cores; seconds for the vectors alone):

- Full eigendecomposition of the float64 Gram matrix: 9 and 14. Kept as the last resort.
- Block Krylov iteration with its float64 Cholesky factor, shifted up to the lower edge, with a second
  Cholesky factorisation as proof: 3.5 and 14. Kept for what is not float32 and for what float32 cannot tell
  apart; the edge of a rectangular weight is clustered, and four rounds with a moving shift are needed.
- A float32 Gram matrix and factor for finding, block Davidson steps in float64 for being right: 1.5 and 6.0.
  This is the way taken. Where many steps are ahead (a clustered edge), a second factor, shifted to the largest
  wanted value with what is found lifted out of the way, brings eight steps down to three: 4.4 instead of 5.4.
  Where two or three steps are ahead it costs more than it saves.
- Keeping W·V from the steps instead of multiplying again for the subtraction: 0.2 s.
- More rounds in float32 before float64 takes over: slower. Its noise leaves an angle of about 1e-2 at r = 128,
  and a step in float64, which only works on what has not converged yet, costs less than a round. Fewer steps in the round (5 or 6 for 7): no faster.
- More guard vectors (12, 32, 64): fewer steps, each dearer; 12 was the fastest or as fast.
- Decomposing the small matrix in every step of the float32 rounds: a third of their time, and not needed.
- Subtracting slab by slab in float64: 0.5 s more on 11008×4096 and no better, for what is subtracted is small.
On a GPU (H200, torch 2.11; two runs): float64 costs little there, and what is left is waiting between small
steps. A full eigendecomposition takes 0.012 s at a side of 1024, where the way above takes 0.03 to 0.05, so it is
taken below a side of 2048; at 4096 it takes 0.11 s. Cholesky's QR done twice in place of Householder's was no
faster and lost the r = 8 square case. Nearly half of the GPU's own time goes into cholesky_solve (2 ms each);
multiplying by an explicit inverse instead is untried.
"""

from __future__ import annotations

import argparse

import torch
from common import conditions, geometric_mean, seconds
from peft.tuners.lora.variants import KasaLinearVariant

from kasa.spectral.removal import remove_smallest

SHAPES = ((1024, 4096), (4096, 4096), (11008, 4096))
RANKS = (8, 32, 128)


class Layer:
    """The little of a LoRA layer that PEFT's truncation reads."""

    def __init__(self, weight: torch.Tensor) -> None:
        """Hold a copy of the weight, which PEFT changes in place."""
        out_features, in_features = weight.shape
        self.base = torch.nn.Linear(in_features, out_features, bias=False, device=weight.device)
        self.base.weight.data = weight.clone()

    def get_base_layer(self) -> torch.nn.Linear:
        """Return the layer with the weight."""
        return self.base


def weight(shape: tuple[int, int], device: str, seed: int = 0) -> torch.Tensor:
    """Return noise with a heavy head of 64 directions, as trained weights look."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, generator=generator) / shape[1] ** 0.5
    left = torch.linalg.qr(torch.randn(shape[0], 64, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(shape[1], 64, generator=generator)).Q
    return (noise + (left * (8.0 * torch.arange(1, 65) ** -0.7)) @ right.T).to(device)


def timed(work, device: str, repeats: int) -> float:  # noqa: ANN001
    """Return the least seconds, waiting for a GPU's queue."""

    def whole() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return seconds(whole, repeats)


def main() -> None:
    """Print a row per shape and rank, and the geometric mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print("| shape | r | PEFT | studio | ratio | error PEFT | error studio |")
    print("|---|---|---|---|---|---|---|")
    ratios = []
    for shape in SHAPES:
        original = weight(shape, options.device)
        U, S, Vh = torch.linalg.svd(original.double(), full_matrices=False)
        for rank in RANKS:
            reference = original.double() - (U[:, -rank:] * S[-rank:]) @ Vh[-rank:]
            layers: list[Layer] = []

            def theirs(layers: list[Layer] = layers, rank: int = rank) -> None:
                layers.append(Layer(original))
                KasaLinearVariant._truncate_base_weight(layers[-1], rank)

            slow = timed(theirs, options.device, options.repeats)
            fast = timed(lambda: remove_smallest(original, rank), options.device, options.repeats)
            ratios.append(slow / fast)
            results = layers[-1].base.weight.data, remove_smallest(original, rank)
            errors = [float((r.double() - reference).norm() / reference.norm()) for r in results]
            print(
                f"| {shape[0]}×{shape[1]} | {rank} | {slow:.2f} s | {fast:.2f} s |"
                f" {ratios[-1]:.1f}× | {errors[0]:.1e} | {errors[1]:.1e} |",
                flush=True,
            )
    print(f"\nGeometric mean {geometric_mean(ratios):.2f}×, lowest {min(ratios):.2f}×.")
    print(conditions("torch", "peft"))


if __name__ == "__main__":
    main()
