"""Clips with a known camera movement: a window moved over a texture, frame by frame.

A clip is (T, SIDE, SIDE, 3) uint8 as Cliplane's decoder would hand it over, with its label and its true motion.
Deterministic: clip i of seed s is always the same clip for the same textures. Labels say what the *camera* does:
pan_right moves the picture left.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .contract import CLIP_LENGTH, LABELS, SIDE, TEMPORAL_STRIDE
from .textures import Collection, Texture, noise

# Camera speed by kind, a step (TEMPORAL_STRIDE source frames), drawn log-uniformly: parts of the picture's side,
# log of the scale, radians. The slowest move shifts the picture by about 8 % of its side over the whole clip.
SPEEDS = {"pan": (0.011, 0.32), "tilt": (0.011, 0.32), "zoom": (0.011, 0.16), "roll": (0.018, 0.35)}
# What a camera that is meant to stand still does, at most: half of the slowest move.
STATIC_DRIFT = (0.005, 0.005, 0.004, 0.006)

# Mean square of the luminance's slope along the direction in which it is least, (levels of 255 a pixel)², as Shi and
# Tomasi (1994) choose what can be tracked. Below it nobody could tell a move: a blank wall, a page of stripes.
MIN_DETAIL = 12.0

# Speeds of the held-out set lie in the gaps that training leaves out.
_GAPS = ((0.18, 0.24), (0.48, 0.54), (0.78, 0.84))

_RENDER = 2 * SIDE  # rendered at twice the size, then averaged down, as a good resize does


@dataclass(frozen=True)
class Clip:
    frames: np.ndarray  # (T, SIDE, SIDE, 3) uint8
    label: int
    motion: np.ndarray  # (T - 1, 4) float32: camera's dx, dy (parts of the side), log scale, radians clockwise


def generate(
    seed: int, index: int, textures: Collection, *, held_out_speeds: bool = False, clean: bool = False
) -> Clip:
    """Clip `index` of `seed`; a clean one has nothing in front and is not degraded."""
    rng = np.random.default_rng((seed, index))
    label = int(rng.integers(0, len(LABELS))) if rng.random() < 0.93 else 0
    motion = _motion(rng, label, held_out_speeds)
    for _ in range(20):
        background, start, step = _texture(rng, textures)
        frames = _render(rng, background, start, step, motion)
        if detail(frames[CLIP_LENGTH // 2]) > MIN_DETAIL:
            break
    if clean:
        return Clip(frames, label, motion)
    if rng.random() < 0.45:
        frames = _with_foreground(rng, frames, textures)
    frames = _degrade(rng, frames)
    return Clip(frames, label, motion)


def detail(frame: np.ndarray) -> float:
    """How well a move over a picture can be told along any direction: see MIN_DETAIL."""
    dy, dx = np.gradient(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32))
    tensor = np.array([[np.mean(dx * dx), np.mean(dx * dy)], [np.mean(dx * dy), np.mean(dy * dy)]])
    return float(np.linalg.eigvalsh(tensor)[0])


def _speed(rng: np.random.Generator, kind: str, held_out: bool) -> float:
    while True:
        u = rng.random()
        if any(low <= u < high for low, high in _GAPS) == held_out:
            low, high = SPEEDS[kind]
            return float(low * (high / low) ** u)


def _motion(rng: np.random.Generator, label: int, held_out: bool) -> np.ndarray:
    """(T - 1, 4) camera motion: the move with easing, a little of the others, and the hand's shake."""
    steps = CLIP_LENGTH - 1
    motion = np.zeros((steps, 4))
    name = LABELS[label]
    shake = float(rng.choice([0.0, 0.0, 0.3, 1.0])) * rng.uniform(0.0, 0.01)
    if name == "static":
        motion += rng.uniform(-1, 1, 4) ** 3 * STATIC_DRIFT  # mostly much less
        shake = min(shake, 0.006)
    else:
        kind, direction = name.split("_")
        axis = ("pan", "tilt", "zoom", "roll").index(kind)
        sign = 1 if direction in ("right", "down", "in", "cw") else -1
        speed = _speed(rng, kind, held_out)
        main = speed * sign * _easing(rng, steps)
        motion[:, axis] += main
        # A hand never moves along one axis alone; what is left over is not more than a fifth of the move.
        leak = rng.uniform(-0.2, 0.2, 4) * speed * (rng.random(4) < 0.4)
        leak[axis] = 0
        motion += leak * _easing(rng, steps)[:, None]
        shake = min(shake, 0.5 * speed)
    noise_ = rng.normal(0, 1, (steps + 1, 4)) * shake * np.array([1, 1, 0.3, 0.5])
    return (motion + np.diff(noise_, axis=0)).astype(np.float32)


def _easing(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Speed over the clip, mean 1: even, starting, ending, or swelling."""
    t = np.linspace(0, 1, steps)
    curve = {
        0: np.ones(steps),
        1: 0.3 + 1.4 * t,
        2: 1.7 - 1.4 * t,
        3: 0.4 + 1.2 * np.sin(np.pi * t),
    }[int(rng.choice(4, p=[0.64, 0.12, 0.12, 0.12]))]
    return curve / curve.mean()


def _texture(rng: np.random.Generator, textures: Collection) -> tuple[Texture, int, int]:
    """A texture, the frame to start at, and how many of its frames pass a step."""
    draw = rng.random()
    if draw < 0.5 and textures.footage:
        frames = textures.footage[list(textures.footage)[int(rng.integers(len(textures.footage)))]]
        step = int(rng.choice([0, 2, TEMPORAL_STRIDE, TEMPORAL_STRIDE, TEMPORAL_STRIDE, 2 * TEMPORAL_STRIDE]))
        step = min(step, (len(frames) - 1) // CLIP_LENGTH)
        return frames, int(rng.integers(0, len(frames) - step * (CLIP_LENGTH - 1))), step
    if draw < 0.9 and textures.photographs:
        return (
            textures.photographs[list(textures.photographs)[int(rng.integers(len(textures.photographs)))]],
            0,
            0,
        )
    return noise(rng), 0, 0


def _render(rng: np.random.Generator, texture: Texture, start: int, step: int, motion: np.ndarray) -> np.ndarray:
    height, width = texture[0].shape[:2]
    window = min(height, width) * rng.uniform(0.3, 0.85)  # side of the window at the clip's middle, texture pixels
    # The picture's own orientation and mirror image: all directions of texture are met.
    turn = float(rng.choice([0, 0, 0, np.pi / 2, np.pi, -np.pi / 2])) + rng.normal(0, 0.05)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    poses = [np.eye(3)]
    for dx, dy, scale, angle in motion:
        # Camera motion in the window's own coordinates, units of its side, y downwards; zooming in shrinks it.
        c, s, z = np.cos(angle), np.sin(angle), np.exp(-scale)
        poses.append(poses[-1] @ np.array([[c * z, -s * z, dx], [s * z, c * z, dy], [0, 0, 1]]))
    middle = np.linalg.inv(poses[len(poses) // 2])
    c, s = np.cos(turn), np.sin(turn)
    # The window stays inside the texture as far as it can; beyond the edge the texture is reflected.
    reach = max(np.abs((middle @ pose)[:2, 2]).max() for pose in poses) * window + window / 2
    centre = [rng.uniform(min(reach, side / 2), max(side - reach, side / 2)) for side in (width, height)]
    place = np.array([[c * mirror, -s, 0], [s * mirror, c, 0], [0, 0, 1]]) * [[window], [window], [1]]
    place[:2, 2] = centre
    pixel = np.array([[1 / _RENDER, 0, 0.5 / _RENDER - 0.5], [0, 1 / _RENDER, 0.5 / _RENDER - 0.5], [0, 0, 1]])
    sources: dict[int, np.ndarray] = {}
    frames = np.empty((CLIP_LENGTH, SIDE, SIDE, 3), np.uint8)
    for t in range(CLIP_LENGTH):
        number = start + t * step
        to_texture = place @ middle @ poses[t] @ pixel
        level = 1
        while np.sqrt(abs(np.linalg.det(to_texture[:2, :2]))) > 1.6 * level and level < 8:
            level *= 2
        key = number * 16 + level
        if key not in sources:
            size = (texture[number].shape[1] // level, texture[number].shape[0] // level)
            sources[key] = (
                texture[number] if level == 1 else cv2.resize(texture[number], size, interpolation=cv2.INTER_AREA)
            )
        shrink = np.diag([1 / level, 1 / level, 1.0]) @ to_texture
        big = cv2.warpAffine(
            sources[key],
            shrink[:2],
            (_RENDER, _RENDER),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        frames[t] = cv2.resize(big, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return frames


def _with_foreground(rng: np.random.Generator, frames: np.ndarray, textures: Collection) -> np.ndarray:
    """Up to three things that move by themselves, in front; the camera's label stays."""
    frames = frames.copy()
    ys, xs = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        texture, start, _ = _texture(rng, textures)
        source = cv2.resize(texture[start], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        centre = rng.uniform(0, SIDE, 2)
        velocity = rng.normal(0, 0.05 * SIDE, 2) * (rng.random() < 0.8)
        radii = rng.uniform(0.05, 0.4, 2) * SIDE
        for t in range(CLIP_LENGTH):
            x, y = centre + velocity * t
            moved = cv2.warpAffine(
                source, np.array([[1, 0, x], [0, 1, y]], np.float32), (SIDE, SIDE), borderMode=cv2.BORDER_WRAP
            )
            distance = ((xs - x) / radii[0]) ** 2 + ((ys - y) / radii[1]) ** 2
            alpha = np.clip((1.15 - distance) / 0.3, 0, 1)[..., None]
            frames[t] = (frames[t] * (1 - alpha) + moved * alpha).astype(np.uint8)
    return frames


def _degrade(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """What cameras, codecs and editors do to a clip."""
    out: np.ndarray = frames.astype(np.float32)
    gain = rng.uniform(0.6, 1.3) * np.linspace(1, 1 + rng.normal(0, 0.12), CLIP_LENGTH)
    out = (out - 128) * rng.uniform(0.5, 1.3) + 128
    out = out * gain[:, None, None, None] + rng.normal(0, 12)
    if rng.random() < 0.15:
        out[:] = out.mean(axis=3, keepdims=True)
    if rng.random() < 0.4:
        out += rng.normal(0, rng.uniform(0.5, 6), out.shape)
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        sigma = rng.uniform(0.4, 1.2)
        out = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in out])
    if rng.random() < 0.5:
        quality = int(rng.integers(15, 90))
        bgr = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in out]
        out = np.stack([cv2.imdecode(data, cv2.IMREAD_COLOR) for data in bgr])
    if rng.random() < 0.06:  # a frame that the camera dropped
        t = int(rng.integers(1, CLIP_LENGTH))
        out[t] = out[t - 1]
    if rng.random() < 0.12:  # letterbox
        bar = int(rng.integers(2, SIDE // 6))
        if rng.random() < 0.5:
            out[:, :bar] = out[:, -bar:] = 0
        else:
            out[:, :, :bar] = out[:, :, -bar:] = 0
    if rng.random() < 0.1:  # a caption or logo that stays
        x, y = (int(v) for v in rng.integers(0, SIDE - 8, 2))
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        out = np.ascontiguousarray(out)
        for frame in out:
            cv2.putText(frame, "CLIP", (x, y + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1)
    return out
