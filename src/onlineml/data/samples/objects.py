"""Objects of the sample photos: silhouettes, height fields and surfaces, computed in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["CLASS_NAMES", "Patch", "blend", "make_patch", "noise", "pick", "smooth_step"]


@dataclass(frozen=True)
class Patch:
    """One object in a square of side P pixels, before lighting.

    Attributes:
        mask: (P, P) float in [0, 1], soft at the edge.
        height: (P, P) float, towards the camera, in units of the object's radius.
        albedo: (P, P, 3) float in [0, 1], RGB.
        gloss: strength of the highlight, 0 (dull) to 1.
    """

    mask: Floats
    height: Floats
    albedo: Floats
    gloss: float


def noise(rng: Generator, height: int, width: int, *, cell: float, octaves: int = 3, stretch: float = 1.0) -> Floats:
    """Return fractal noise, (height, width) float in [0, 1]; `cell` pixels across, `stretch` times longer along x."""
    import cv2  # noqa: PLC0415 - heavy, and importing onlineml must stay quick

    total = np.zeros((height, width), np.float32)
    for k in range(octaves):
        step = max(1.0, cell / 2**k)
        shape = (max(2, round(height / step) + 2), max(2, round(width / (step * stretch)) + 2))
        grid = rng.random(shape, np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**k
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / max(high - low, 1e-6), np.float32)


def blend(low: Any, high: Any, amount: Floats) -> Floats:
    """Map amounts, (H, W) in [0, 1], to a colour ramp, (H, W, 3)."""
    first, second = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return np.asarray(first + (second - first) * amount[..., None], np.float32)


def smooth_step(edge: Any, softness: float) -> Floats:
    """Return 0 below zero, 1 above `softness`, smooth between."""
    t = np.clip(edge / softness + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _rgb(red_green_blue: Sequence[float] | NDArray[Any]) -> Floats:
    return np.asarray(red_green_blue, np.float32)


def pick(rng: Generator, colours: list[tuple[float, float, float]]) -> Floats:
    """Return one of the RGB colours with a small random variation."""
    return _rgb(np.clip(np.asarray(colours[rng.integers(len(colours))]) + rng.normal(0, 0.04, 3), 0.02, 0.98))


# Objects. Each takes coordinates in units of its radius (u right, v down) and the size of a pixel in those units.


def _apple(rng: Generator, u: Floats, v: Floats, pixel: float) -> Patch:
    theta, rho = np.arctan2(v, u), np.hypot(u, v)
    top, bottom = np.abs(theta + np.pi / 2), np.abs(theta - np.pi / 2)
    squash = rng.uniform(-0.06, 0.08)
    radius = (
        0.86 + squash * np.cos(2 * theta) - 0.15 * np.exp(-((top / 0.42) ** 2)) - 0.07 * np.exp(-((bottom / 0.4) ** 2))
    )
    mask = smooth_step(radius - rho, 2 * pixel)
    height = np.sqrt(np.clip(1 - (rho / radius) ** 2, 0, 1)) * 0.85
    height -= 0.28 * np.exp(-((u / 0.28) ** 2 + ((v + 0.62) / 0.16) ** 2))
    skin, blush = (
        pick(rng, [(0.72, 0.62, 0.2), (0.5, 0.66, 0.22), (0.75, 0.25, 0.15)]),
        pick(rng, [(0.68, 0.08, 0.1), (0.55, 0.05, 0.09), (0.4, 0.6, 0.18)]),
    )
    from_stem = np.arctan2(u, v + 0.75)
    side = u.shape[0]
    streaks = np.interp(from_stem, np.linspace(-np.pi, np.pi, 120), rng.random(120)).astype(np.float32)
    patches = noise(rng, side, side, cell=side / 3, octaves=3)
    albedo = blend(skin, blush, np.clip(1.8 * patches - 0.5 + 0.35 * streaks + rng.uniform(-0.4, 0.4), 0, 1))
    freckles = noise(rng, side, side, cell=max(2.0, 0.05 / pixel), octaves=1) > 0.9
    albedo[freckles] = albedo[freckles] * 0.75 + 0.18
    stem_u = rng.uniform(-0.25, 0.25) * ((v + 0.6) / -0.5) ** 2
    stem = (
        smooth_step(0.05 - np.abs(u - stem_u), 2 * pixel)
        * smooth_step(-0.5 - v, 2 * pixel)
        * smooth_step(v + rng.uniform(0.9, 1.05), 2 * pixel)
    )
    albedo += (_rgb([0.22, 0.15, 0.08]) - albedo) * stem[..., None]
    return Patch(
        np.maximum(mask, stem), np.where(stem > 0.5, 0.3, height).astype(np.float32), albedo, rng.uniform(0.2, 0.7)
    )


def _lemon(rng: Generator, u: Floats, v: Floats, pixel: float) -> Patch:
    theta, rho = np.arctan2(v, u), np.hypot(u, v)
    wide, high = rng.uniform(0.82, 0.9), rng.uniform(0.62, 0.74)
    radius = wide * high / np.sqrt((high * np.cos(theta)) ** 2 + (wide * np.sin(theta)) ** 2)
    radius = (
        radius
        + rng.uniform(0.1, 0.2) * np.exp(-((theta / 0.2) ** 2))
        + 0.08 * np.exp(-(((np.pi - np.abs(theta)) / 0.25) ** 2))
    )
    mask = smooth_step(radius - rho, 2 * pixel)
    side = u.shape[0]
    pores = noise(rng, side, side, cell=max(1.6, 0.06 / pixel), octaves=2)
    height = np.sqrt(np.clip(1 - (rho / radius) ** 2, 0, 1)) * 0.72 - 0.022 * pores
    rind = pick(rng, [(0.86, 0.74, 0.14), (0.9, 0.68, 0.12), (0.88, 0.8, 0.24), (0.78, 0.76, 0.3), (0.45, 0.62, 0.16)])
    dark = rind * _rgb([0.78, 0.86, 0.6])
    albedo = blend(rind, dark, np.clip(noise(rng, side, side, cell=side / 2.5) * 1.2 - 0.3 + 0.25 * pores, 0, 1))
    tip = np.exp(-(((np.abs(u) - 0.95) / 0.09) ** 2) - (v / 0.1) ** 2)
    albedo *= 1 - 0.45 * tip[..., None]
    return Patch(mask, height.astype(np.float32), albedo, rng.uniform(0.25, 0.7))


def _banana(rng: Generator, u: Floats, v: Floats, pixel: float) -> Patch:
    bend, thick = rng.uniform(0.9, 1.7), rng.uniform(0.19, 0.26)
    reach = rng.uniform(0.85, 0.95) / np.sin(min(0.95 / bend, 1.2)) * np.sin(min(0.95 / bend, 1.2))
    half_angle = reach / bend
    rho, along = np.hypot(u, v + bend - 0.15), np.arctan2(u, v + bend - 0.15) / half_angle
    body = np.clip(1 - np.abs(along) ** 3.5, 0, 1) ** 0.55
    width = np.maximum(thick * body, np.where(along > 0, 0.07, 0.05) * (np.abs(along) < 1.12))
    across = (rho - bend) / np.maximum(width, 1e-3)
    mask = smooth_step((width - np.abs(rho - bend)) * (width > 0.01), 2 * pixel) * (np.abs(along) < 1.12)
    height = width * np.sqrt(np.clip(1 - across**2, 0, 1)) * 1.15
    height += 0.03 * (np.abs(np.mod(across + 0.15, 0.75) - 0.37) < 0.1) * body  # the ridges between its five faces
    side = u.shape[0]
    ripe = rng.uniform(0, 1)
    skin = blend((0.5, 0.66, 0.2), (0.88, 0.74, 0.2), np.full_like(u, np.clip(ripe * 2.2, 0, 1)))
    albedo = blend((0, 0, 0), (1, 1, 1), 0.85 + 0.15 * noise(rng, side, side, cell=side / 4)) * skin
    spots = smooth_step(noise(rng, side, side, cell=max(2.0, 0.12 / pixel), octaves=3) - (1.15 - 0.45 * ripe), 0.08)
    ends = np.clip(smooth_step(np.abs(along) - 0.97, 0.1) + spots * 0.85, 0, 1)
    albedo += (_rgb([0.24, 0.16, 0.08]) - albedo) * ends[..., None]
    return Patch(mask.astype(np.float32), height.astype(np.float32), albedo.astype(np.float32), rng.uniform(0.05, 0.3))


def _leaf(rng: Generator, u: Floats, v: Floats, pixel: float) -> Patch:
    v = (v - rng.uniform(-0.25, 0.25) * (u**2 - 0.3)).astype(np.float32)
    t = np.clip((u + 0.9) / 1.8, 0, 1)
    broad, teeth = rng.uniform(0.32, 0.6), rng.integers(9, 26)
    half = broad * np.clip(np.sin(np.pi * t ** rng.uniform(0.65, 1.1)), 0, 1) ** rng.uniform(0.7, 1.1)
    half = half * (1 - rng.uniform(0, 0.28) * np.abs(np.mod(t * teeth, 1) - 0.5))
    stalk = smooth_step(0.035 - np.abs(v), 2 * pixel) * (u < -0.8) * (u > -1.2)
    mask = np.maximum(smooth_step(half - np.abs(v), 2 * pixel) * (np.abs(u) < 0.9), stalk)
    lean, count = rng.uniform(0.5, 1.1), rng.integers(6, 12)
    phase = np.mod((u - np.abs(v) * lean) * count / 1.8, 1)
    veins = np.clip(1 - np.abs(phase - 0.5) / max(0.07, count * pixel), 0, 1) * 0.6
    veins = np.clip(veins + np.clip(1 - np.abs(v) / 0.035, 0, 1), 0, 1)
    side = u.shape[0]
    first = pick(rng, [(0.2, 0.42, 0.12), (0.3, 0.5, 0.16), (0.72, 0.5, 0.12), (0.62, 0.18, 0.1), (0.45, 0.28, 0.14)])
    second = pick(rng, [(0.2, 0.38, 0.12), (0.7, 0.55, 0.15), (0.5, 0.16, 0.1), (0.34, 0.24, 0.12)])
    spread = np.clip(2 * noise(rng, side, side, cell=side / 3, octaves=4) - 0.9 + rng.uniform(-0.4, 0.4), 0, 1)
    albedo = blend(first, second, spread)
    albedo += (np.clip(albedo * 1.25 + 0.1, 0, 1) - albedo) * veins[..., None]
    curl = rng.uniform(-0.5, 0.9)
    height = 0.12 + curl * v**2 + 0.05 * noise(rng, side, side, cell=side / 4, octaves=2) - 0.02 * veins
    return Patch(mask.astype(np.float32), height.astype(np.float32), albedo.astype(np.float32), rng.uniform(0.0, 0.35))


def _mushroom(rng: Generator, u: Floats, v: Floats, pixel: float) -> Patch:
    cap_w, cap_h, rim = rng.uniform(0.65, 0.95), rng.uniform(0.5, 0.85), rng.uniform(0.08, 0.2)
    line = -0.05 + rng.uniform(-0.05, 0.1)
    down = v - line
    span = np.where(down < 0, cap_h, rim)
    ball = 1 - (u / cap_w) ** 2 - (down / span) ** 2
    cap = smooth_step(ball * 0.5, 3 * pixel)
    foot = rng.uniform(0.14, 0.26) * (1 + rng.uniform(-0.1, 0.5) * np.clip(v, 0, 1) ** 2)
    sway = rng.uniform(-0.2, 0.2) * np.clip(v, 0, 1) ** 2
    stem = (
        smooth_step(foot - np.abs(u - sway), 2 * pixel)
        * smooth_step(v - line, 2 * pixel)
        * smooth_step(0.92 - v, 4 * pixel)
    )
    side = u.shape[0]
    fibres = noise(rng, side, side, cell=max(2.0, 0.05 / pixel), stretch=0.15, octaves=2)
    pale = pick(rng, [(0.85, 0.8, 0.7), (0.75, 0.66, 0.52), (0.8, 0.74, 0.6)])
    albedo = blend(pale * 0.75, pale, fibres)
    height = np.sqrt(np.clip(foot**2 - (u - sway) ** 2, 0, 1)).astype(np.float32)
    skin = pick(rng, [(0.5, 0.32, 0.18), (0.68, 0.52, 0.34), (0.8, 0.74, 0.64), (0.66, 0.12, 0.08), (0.6, 0.4, 0.24)])
    hood = blend(skin * 0.65, skin, noise(rng, side, side, cell=side / 3))
    if rng.random() < 0.45:  # warts
        warts = smooth_step(noise(rng, side, side, cell=max(3.0, 0.2 / pixel), octaves=1) - 0.74, 0.06)
        hood += (_rgb([0.86, 0.82, 0.74]) - hood) * warts[..., None]
    gills = np.abs(np.sin(u / cap_w * rng.uniform(30, 50))) * 0.25 + 0.55
    hood = np.where((down > 0.15 * rim)[..., None], (pale * gills[..., None]).astype(np.float32), hood)
    dome = 0.25 + 0.7 * np.sqrt(np.clip(ball, 0, 1))
    albedo += (hood - albedo) * cap[..., None]
    height = np.where(cap > 0.5, dome, height).astype(np.float32)
    return Patch(np.maximum(cap, stem).astype(np.float32), height, albedo.astype(np.float32), rng.uniform(0, 0.4))


_OBJECTS: dict[str, Callable[[Any, Any, Any, float], Patch]] = {
    "apple": _apple,
    "banana": _banana,
    "leaf": _leaf,
    "lemon": _lemon,
    "mushroom": _mushroom,
}
CLASS_NAMES: tuple[str, ...] = tuple(_OBJECTS)
_TURNS = {"apple": 0.5, "mushroom": 0.35}  # range of the rotation in radians; other objects have any angle


def make_patch(rng: Generator, name: str, radius: float) -> Patch:
    side = max(24, round(2.6 * radius))
    y, x = (np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2) / np.float32(radius)
    lean = rng.uniform(-1, 1) * _TURNS.get(name, np.pi) if rng.random() < 0.9 else rng.uniform(-np.pi, np.pi)
    cos, sin, squeeze = np.cos(lean), np.sin(lean), rng.uniform(1.0, 1.22)
    u, v = (x * cos + y * sin) * squeeze, (y * cos - x * sin)
    return _OBJECTS[name](rng, u.astype(np.float32), v.astype(np.float32), 1 / radius)
