"""Train the embedded network to imitate its teacher's features.

    python training/distil.py --crops CROPS --out RUN

Learns from the shards that teach.py wrote. A checkpoint is written every few hundred steps; the
same command goes on from it. Uses a GPU where PyTorch finds one, else all cores; bf16 either way,
because that is how the network will be run.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss

from student import Student, as_images, averaged

BATCH = 128
WARM_UP = 300
CHECKPOINT_EVERY = 500
FINAL_SIDE, EARLY_SIDE = 96, 64
"""Small pictures first: they cost less than half."""


class Crops:
    """Pixels and targets of one part, left on disk until they are read."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.features.npy"))
        if not files:
            raise SystemExit(f"{folder} has no shards; run training/teach.py first")
        self._pixels = [
            np.load(Path(str(file).replace(".features", ".pixels")), mmap_mode="r")
            for file in files
        ]
        self.features: npt.NDArray[np.float16] = np.concatenate([np.load(file) for file in files])
        lengths = [len(pixels) for pixels in self._pixels]
        self._shard = np.repeat(np.arange(len(files)), lengths)
        self._row = np.concatenate([np.arange(length) for length in lengths])

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, indices: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Pixels (N, 96, 96, 3) as bytes and features (N, 1280)."""
        pixels = np.stack([self._pixels[self._shard[i]][self._row[i]] for i in indices])
        features = self.features[indices].astype(np.float32)
        return torch.from_numpy(pixels), torch.from_numpy(features)


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of the teacher's features, by which all features count alike."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, features: npt.NDArray[np.float16]) -> "Scale":
        """Take them from at most 50,000 crops."""
        some = features[:50_000].astype(np.float32)
        return cls(torch.from_numpy(some.mean(0)), torch.from_numpy(some.std(0) + 1e-3))

    def __call__(self, features: Tensor) -> Tensor:
        """Standardise."""
        return (features - self.mean.to(features)) / self.deviation.to(features)


def loss_of(features: Tensor, target: Tensor) -> Tensor:
    """Squared error and angle between standardised features, as means over a batch."""
    angle = 1 - cosine_similarity(features, target).mean()
    return mse_loss(features, target) + angle


class Training:
    """The state of a run: student, its average, optimiser and step."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(options.seed)
        self.student = Student().to(self.device, memory_format=torch.channels_last)
        self.average = Student().to(self.device)
        self.average.load_state_dict(self.student.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.student.parameters(), lr=options.rate, weight_decay=0.02
        )
        self.step = 0
        self.seconds = 0.0
        self.train = Crops(options.crops / "train")
        self.validation = Crops(options.crops / "validation")
        self.scale = Scale.of(self.train.features)
        self._checkpoint = options.out / "checkpoint.pt"
        if self._checkpoint.exists():
            self._restore()

    def run(self) -> None:
        """Train to the last step, with a line of record at every checkpoint."""
        started, recent = time.monotonic() - self.seconds, 0.0
        while self.step < self.options.steps:
            recent += self._one_step()
            if self.step % CHECKPOINT_EVERY == 0 or self.step == self.options.steps:
                self.seconds = time.monotonic() - started
                self._record(recent / CHECKPOINT_EVERY)
                self._save()
                recent = 0.0

    def _one_step(self) -> float:
        done = self.step / self.options.steps
        for group in self.optimiser.param_groups:
            warm = min(1, (self.step + 1) / WARM_UP)
            group["lr"] = self.options.rate * warm * 0.5 * (1 + math.cos(math.pi * done))
        pixels, target = self.train.batch(self._indices())
        mirrored = torch.rand(len(pixels), generator=self._generator()) < 0.5
        pixels[mirrored] = pixels[mirrored].flip(2)
        side = EARLY_SIDE if done < self.options.small_until else FINAL_SIDE
        images = as_images(pixels.to(self.device), side)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            features = self.student(images)
        loss = loss_of(self.scale(features), self.scale(target.to(self.device)))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        averaged(self.average.state_dict(), self.student.state_dict(), self.step)
        return loss.item()

    def _indices(self) -> npt.NDArray[np.int64]:
        """The crops of this step: every epoch is a permutation of its own."""
        per_epoch = len(self.train) // BATCH
        epoch, position = divmod(self.step, per_epoch)
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            random = np.random.Generator(np.random.PCG64([self.options.seed, epoch]))
            self._order = random.permutation(len(self.train))
        return self._order[position * BATCH : (position + 1) * BATCH]

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.step)

    @torch.no_grad()
    def _record(self, loss: float) -> None:
        self.average.eval()
        losses, cosines = [], []
        for start in range(0, len(self.validation), BATCH):
            rows = np.arange(start, min(start + BATCH, len(self.validation)))
            pixels, target = self.validation.batch(rows)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                features = self.average(as_images(pixels.to(self.device), FINAL_SIDE))
            ours, theirs = self.scale(features), self.scale(target.to(self.device))
            losses.append(loss_of(ours, theirs).item() * len(rows))
            cosines.append(cosine_similarity(features, target.to(self.device)).sum().item())
        line = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 1),
            "samples_per_second": round(self.step * BATCH / self.seconds),
            "loss": round(loss, 4),
            "validation_loss": round(sum(losses) / len(self.validation), 4),
            "validation_cosine": round(sum(cosines) / len(self.validation), 4),
        }
        print(json.dumps(line), flush=True)
        with (self.options.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(
            {
                "step": self.step,
                "seconds": self.seconds,
                "student": self.student.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            partial,
        )
        partial.replace(self._checkpoint)

    def _restore(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        print(f"going on from step {self.step:,}")


def main() -> None:
    """Run the command line."""
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    Training(options).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crops", type=Path, required=True, help="folder that teach.py filled")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    parser.add_argument("--steps", type=int, default=18_000, help="(default: 18000)")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate (default: 0.003)")
    parser.add_argument(
        "--small-until",
        type=float,
        default=0.4,
        help="share of the steps that see pictures of 64 pixels (default: 0.4)",
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    return parser


if __name__ == "__main__":
    main()
