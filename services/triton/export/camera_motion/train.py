"""Train camera_motion on clips made as they are needed.

    python -m camera_motion.train --wallpapers DIR --footage DIR --footage DIR --held-out-footage NAME --out DIR

Writes DIR/checkpoint.pt every few minutes and goes on from it when it is there; DIR/model.pt at the end.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from . import textures
from .contract import LABELS
from .generator import generate
from .model import CameraMotion

MOTION_SCALE = (10.0, 10.0, 20.0, 10.0)  # brings dx, dy, log scale and radians to about one unit


class Clips(Dataset[tuple[torch.Tensor, int, torch.Tensor]]):
    """Clips `first` … `first + count` of a seed."""

    def __init__(self, seed: int, first: int, count: int, collection: textures.Collection, held_out: bool) -> None:
        self._seed, self._first, self._count = seed, first, count
        self._collection, self._held_out = collection, held_out

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, torch.Tensor]:
        cv2.setNumThreads(0)
        clip = generate(self._seed, self._first + index, self._collection, held_out_speeds=self._held_out)
        return torch.from_numpy(clip.frames), clip.label, torch.from_numpy(clip.motion)


def collect(args: argparse.Namespace, *, held_out: bool) -> textures.Collection:
    """One side of the split: photographs by their names, footage by `--held-out-footage`."""
    photographs = textures.photographs(args.wallpapers)
    footage: dict[str, textures.Texture] = {}
    for folder in args.footage:
        for name, frames in textures.footage(folder).items():
            footage.setdefault(name, frames)
    return textures.Collection(
        {name: t for name, t in photographs.items() if textures.is_held_out(name) == held_out},
        {name: t for name, t in footage.items() if (name.partition("#")[0] in args.held_out_footage) == held_out},
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wallpapers", type=Path, help="folder with Debian's wallpaper packages unpacked")
    parser.add_argument("--footage", type=Path, action="append", default=[], help="folder of videos; repeatable")
    parser.add_argument("--held-out-footage", action="append", default=[], help="video never trained on, by its stem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--start-from", type=Path, help="weights of an earlier run (model.pt) to go on from")
    parser.add_argument("--rate", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    model = CameraMotion().to(memory_format=torch.channels_last_3d)
    if args.start_from:
        model.load_state_dict(torch.load(args.start_from, weights_only=True)["model"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=args.steps, pct_start=0.1)
    checkpoint, step = args.out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step = state["step"]
    collection = collect(args, held_out=False)
    print(
        json.dumps({"photographs": len(collection.photographs), "footage": sorted(collection.footage)}),
        flush=True,
    )
    clips = Clips(args.seed, step * args.batch, (args.steps - step) * args.batch, collection, False)
    scale = torch.tensor(MOTION_SCALE)
    model.train()
    began = saved = time.monotonic()
    right = seen = 0
    for frames, labels, motion in DataLoader(clips, args.batch, num_workers=1, prefetch_factor=4):
        logits, estimate = model(frames)
        loss = functional.cross_entropy(logits, labels, label_smoothing=0.02)
        loss = loss + 0.5 * functional.smooth_l1_loss(estimate, motion * scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        step += 1
        right, seen = right + int((logits.argmax(1) == labels).sum()), seen + len(labels)
        if step % 50 == 0:
            minutes = (time.monotonic() - began) / 60
            print(
                json.dumps({"step": step, "minutes": round(minutes, 1), "top1": right / seen, "loss": loss.item()}),
                flush=True,
            )
            right = seen = 0
        if time.monotonic() - saved > 180:
            saved = time.monotonic()
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "schedule": schedule.state_dict(), "step": step}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").rename(checkpoint)
    torch.save({"model": model.state_dict(), "labels": LABELS}, args.out / "model.pt")


if __name__ == "__main__":
    main()
