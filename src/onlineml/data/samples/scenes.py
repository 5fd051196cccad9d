"""Drawing of the sample project's photos: one object of a known class on a cluttered background.

Everything is computed: the objects are lit from a random direction, placed with a shadow on wood, cloth, stone, grass
or soil, partly covered, and seen through a camera with blur, noise, a colour cast and vignetting. The colours of the
classes overlap (green apples, limes, red leaves), so that shape and texture have to be learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.samples.objects import CLASS_NAMES, Patch, blend, make_patch, noise, pick, smooth_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["CLASS_NAMES", "bare_ground", "camera", "clutter", "draw_photo", "drop"]


def _cv2() -> Any:
    import cv2  # noqa: PLC0415 - heavy, and importing onlineml must stay quick

    return cv2


def _wood(rng: Generator, height: int, width: int) -> Floats:
    grain = noise(rng, height, width, cell=6, octaves=3, stretch=14)
    tone = pick(rng, [(0.5, 0.34, 0.2), (0.66, 0.5, 0.34), (0.34, 0.24, 0.17), (0.6, 0.56, 0.5)])
    ground = blend(tone * 0.55, tone, np.clip(grain * 1.3 - 0.1, 0, 1))
    plank = rng.integers(height // 5, height // 2 + 2)
    rows = np.arange(height) + rng.integers(plank)
    ground *= (rng.uniform(0.8, 1.1, height)[rows // plank] * np.where(rows % plank < 2, 0.45, 1.0))[:, None, None]
    return ground


def _cloth(rng: Generator, height: int, width: int) -> Floats:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    first, second = rng.uniform(0.15, 0.9, (2, 3))
    period = rng.uniform(10, 46)
    stripes, rows = np.sin(x * 6.3 / period) > 0, np.sin(y * 6.3 / period) > 0
    kind = rng.integers(3)  # striped, checked or plain
    amount = (stripes * 1.0, (stripes * 1.0 + rows) / 2, np.zeros_like(x))[kind].astype(np.float32)
    ground = blend(first, first * 0.6 + second * 0.4, amount)
    weave = 0.92 + 0.08 * np.sin(x * 2.1) * np.sin(y * 2.1)
    folds = 0.65 + 0.45 * noise(rng, height, width, cell=width / 2.5, octaves=2)
    return np.asarray(ground * (weave * folds)[..., None], np.float32)


def _stone(rng: Generator, height: int, width: int) -> Floats:
    tone = pick(rng, [(0.6, 0.58, 0.55), (0.78, 0.76, 0.72), (0.36, 0.36, 0.38), (0.55, 0.45, 0.38)])
    rough = noise(rng, height, width, cell=rng.uniform(20, 70), octaves=5)
    veins = 1 - 0.5 * np.exp(-np.abs(noise(rng, height, width, cell=90, octaves=4) - 0.5) * 40)
    return np.asarray(blend(tone * 0.6, tone, rough) * veins[..., None], np.float32)


def _grass(rng: Generator, height: int, width: int) -> Floats:
    cv2 = _cv2()
    ground = np.ascontiguousarray(
        (blend((0.1, 0.12, 0.05), (0.3, 0.24, 0.14), noise(rng, height, width, cell=24)) * 255).astype(np.uint8)
    )
    count = height * width // 110
    roots, lean = rng.integers(0, (width, height), (count, 2)), rng.normal(0, 7, count)
    shades = rng.normal(0, 1, count)[:, None] * (14, 22, 8) + np.array([[70, 104, 38], [120, 112, 56]])[rng.integers(2)]
    for (x, y), bend, shade, length in zip(
        roots.tolist(), lean.tolist(), shades.tolist(), rng.uniform(8, 26, count).tolist(), strict=True
    ):
        cv2.line(ground, (x, y), (int(x + bend), int(y - length)), shade, 1, cv2.LINE_AA)
    return np.asarray(ground / np.float32(255), np.float32)


def _soil(rng: Generator, height: int, width: int) -> Floats:
    tone = pick(rng, [(0.42, 0.32, 0.22), (0.3, 0.24, 0.18), (0.66, 0.58, 0.44)])
    grit = noise(rng, height, width, cell=rng.uniform(4, 9), octaves=2)
    lumps = noise(rng, height, width, cell=40, octaves=3)
    return blend(tone * 0.4, tone * 1.15, np.clip(0.55 * lumps + 0.6 * grit - 0.05, 0, 1))


_GROUNDS: list[Callable[[Any, int, int], Floats]] = [_wood, _cloth, _stone, _grass, _soil]


def drop(scene: Floats, patch: Patch, *, corner: tuple[int, int], light: Floats) -> None:
    """Light a patch from `light` (unit x, y, z), cast its shadow and draw it on the scene, in place."""
    cv2, side = _cv2(), patch.mask.shape[0]
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(patch.height, (3, 3), 0) * side / 2.6)
    normal = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    lit = np.clip((-slope_x * light[0] - slope_y * light[1] + light[2]) * normal, 0, 1)
    shine = patch.gloss * np.clip(2 * lit * normal - light[2], 0, 1) ** 24
    colour = patch.albedo * (0.32 + 0.85 * lit)[..., None] + shine[..., None] * 0.8
    pad = side // 4
    soft = cv2.GaussianBlur(np.pad(patch.mask, pad), (0, 0), max(1.0, side / 26))
    top, left = corner
    shift_y, shift_x = round(-light[1] * side * 0.13), round(-light[0] * side * 0.13)
    for layer, y, x, alpha in (
        (np.zeros(3, np.float32), top - pad + shift_y, left - pad + shift_x, 0.62 * soft),
        (colour, top, left, patch.mask),
    ):
        rows = slice(max(y, 0), min(y + alpha.shape[0], scene.shape[0]))
        cols = slice(max(x, 0), min(x + alpha.shape[1], scene.shape[1]))
        if rows.start >= rows.stop or cols.start >= cols.stop:
            continue
        inside = (slice(rows.start - y, rows.stop - y), slice(cols.start - x, cols.stop - x))
        source = layer if layer.ndim == 1 else layer[inside]
        scene[rows, cols] += (source - scene[rows, cols]) * alpha[inside][..., None]


def clutter(rng: Generator, scene: Floats, light: Floats) -> None:
    """Draw pebbles and twigs, which belong to no class."""
    height, width = scene.shape[:2]
    for _ in range(rng.integers(0, 4)):
        side = int(rng.integers(14, 44))
        y, x = (np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2) / np.float32(side / 2.4)
        lean = rng.uniform(0, np.pi)
        u, v = x * np.cos(lean) + y * np.sin(lean), (y * np.cos(lean) - x * np.sin(lean)) * rng.choice([1.3, 1.7, 7.0])
        dome = np.clip(1 - u**2 - v**2 + 0.5 * (noise(rng, side, side, cell=side / 2) - 0.5), 0, 1)
        tone = pick(rng, [(0.5, 0.48, 0.45), (0.35, 0.25, 0.16), (0.7, 0.66, 0.6)])
        albedo = blend(tone * 0.7, tone, noise(rng, side, side, cell=8))
        patch = Patch(smooth_step(dome - 0.15, 0.2), (np.sqrt(dome) * 0.5).astype(np.float32), albedo, 0.05)
        drop(scene, patch, corner=(int(rng.integers(-8, height)), int(rng.integers(-8, width))), light=light)


def camera(rng: Generator, scene: Floats, light: Floats) -> NDArray[np.uint8]:
    """Simulate a camera: uneven light, white balance, exposure, blur, noise; (H, W, 3) float to uint8."""
    cv2, (height, width) = _cv2(), scene.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ramp = 1 + 0.3 * (light[0] * (x / width - 0.5) + light[1] * (y / height - 0.5))
    vignette = 1 - rng.uniform(0, 0.45) * ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)
    warm = rng.normal(0, 0.07)
    shot = (
        scene
        * (ramp * vignette)[..., None]
        * np.asarray([1 + warm, 1.0, 1 - warm], np.float32)
        * rng.uniform(0.75, 1.5)
    )
    shot = np.clip(shot, 0, 1.2) ** rng.uniform(0.75, 1.1)
    blur = rng.gamma(1.2, 0.45)
    if rng.random() < 0.1:
        kernel = np.zeros((9, 9), np.float32)
        cv2.line(kernel, (0, int(rng.integers(9))), (8, int(rng.integers(9))), 1.0)
        shot = cv2.filter2D(shot, -1, kernel / kernel.sum())
    elif blur > 0.3:
        shot = cv2.GaussianBlur(shot, (0, 0), blur)
    shot += rng.standard_normal(shot.shape, np.float32) * np.float32(rng.uniform(0.004, 0.035))
    return np.asarray(np.clip(shot * 255, 0, 255), np.uint8)


def bare_ground(rng: Generator, height: int, width: int) -> tuple[Floats, Floats]:
    """Draw wood, cloth, stone, grass or soil, (height, width, 3) float; return it and the light direction (x, y, z)."""
    turned = rng.random() < 0.5
    scene = _GROUNDS[rng.integers(len(_GROUNDS))](rng, *((width, height) if turned else (height, width)))
    scene = np.ascontiguousarray(scene.transpose(1, 0, 2)) if turned else scene
    angle, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 0.85)
    flat = np.sqrt(1 - steep**2)
    return scene, np.asarray([flat * np.cos(angle), flat * np.sin(angle), steep], np.float32)


def draw_photo(rng: Generator, class_name: str) -> NDArray[np.uint8]:
    """Draw one photo of an object of `class_name`: (H, W, 3) uint8 RGB, sides of 150 to 330 pixels."""
    short = int(rng.integers(150, 250))
    long = round(short * rng.choice([1.0, 1.25, 1.333]))
    height, width = (short, long) if rng.random() < 0.6 else (long, short)
    scene, light = bare_ground(rng, height, width)
    clutter(rng, scene, light)
    for _ in range(1 + int(rng.random() < 0.18)):  # occasionally two objects of the class
        patch = make_patch(rng, class_name, short * rng.uniform(0.28, 0.46))
        side = patch.mask.shape[0]
        centre_y, centre_x = height * rng.uniform(0.34, 0.66), width * rng.uniform(0.34, 0.66)
        drop(scene, patch, corner=(round(centre_y - side / 2), round(centre_x - side / 2)), light=light)
    if rng.random() < 0.3:
        clutter(rng, scene, light)  # some of it covers the object
    return camera(rng, scene, light)
