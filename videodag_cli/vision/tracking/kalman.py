"""Where a box will be: Kalman filters of centre and size, driven by elapsed seconds.

Each of the four coordinates (centre x, centre y, width, height) has a position and a velocity of its own and is filtered alone. The
velocity follows an Ornstein-Uhlenbeck process, which is Singer's target model (IEEE Transactions on Aerospace and Electronic
Systems 6(4), 1970) one derivative lower: it fades with a time constant, so that a box nobody sees any more slows down instead of
leaving the scene, while its uncertainty grows as it should. Predicting in two steps equals predicting in one, whatever the frame
rate. All noise is in units of the box's size, so a near and a far object behave alike.

Arrays describe N boxes: `mean` is (N, 4, 2) position and velocity, `cov` is (N, 4, 3) their variances and covariance in the order
position, position-velocity, velocity; `scale` is (N,) the size in pixels that noise is relative to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from videodag_cli.data import Floats


@dataclass(frozen=True, slots=True)
class Axis:
    """How one coordinate moves; lengths are in box sizes."""

    velocity: float
    """Standard deviation of the velocity, per second: of a new box, and what it returns to without observations."""
    memory_s: float
    """Time constant in which the velocity fades."""
    wander: float
    """Standard deviation of a random walk of the position after one second."""
    noise: float
    """Standard deviation of one observation."""


CENTRE = Axis(velocity=1.5, memory_s=1.0, wander=0.1, noise=0.05)
SIZE = Axis(velocity=0.3, memory_s=0.5, wander=0.1, noise=0.08)
AXES = (CENTRE, CENTRE, SIZE, SIZE)
_NOISE = np.array([axis.noise for axis in AXES])
_VELOCITY = np.array([axis.velocity for axis in AXES])


def to_centre(xyxy: Floats) -> Floats:
    """(N, 4) `xyxy` -> centre x, centre y, width, height."""
    low, high = xyxy[:, :2], xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def to_corners(centre: Floats) -> Floats:
    """(N, 4) centre x, centre y, width, height -> `xyxy`; sides are at least one pixel."""
    half = np.maximum(centre[:, 2:], 1.0) / 2
    return np.concatenate([centre[:, :2] - half, centre[:, :2] + half], axis=1)


def sizes(xyxy: Floats) -> Floats:
    """(N,) what noise is relative to: the side of a square of the box's area, at least one pixel."""
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1.0)
    return np.asarray(np.sqrt(sides[:, 0] * sides[:, 1]))


def initiate(xyxy: Floats) -> tuple[Floats, Floats, Floats]:
    """`mean`, `cov` and `scale` of boxes seen for the first time."""
    scale = sizes(xyxy)
    mean = np.zeros((len(xyxy), 4, 2))
    mean[:, :, 0] = to_centre(xyxy)
    cov = np.zeros((len(xyxy), 4, 3))
    cov[:, :, 0] = np.square(scale[:, None] * _NOISE)
    cov[:, :, 2] = np.square(scale[:, None] * _VELOCITY)
    return mean, cov, scale


def predict(mean: Floats, cov: Floats, scale: Floats, dt_s: float) -> tuple[Floats, Floats]:
    """The same boxes `dt_s` seconds later."""
    if dt_s <= 0:
        return mean, cov
    keep, reach, noise = (np.array(column) for column in zip(*(_step(axis, dt_s) for axis in AXES), strict=True))
    position, velocity = mean[:, :, 0], mean[:, :, 1]
    pp, pv, vv = cov[:, :, 0], cov[:, :, 1], cov[:, :, 2]
    grown = np.square(scale)[:, None, None] * noise
    moved = np.stack([position + reach * velocity, keep * velocity], axis=2)
    spread = np.stack([pp + 2 * reach * pv + reach**2 * vv, keep * (pv + reach * vv), keep**2 * vv], axis=2)
    return moved, spread + grown


def _step(axis: Axis, dt_s: float) -> tuple[float, float, tuple[float, float, float]]:
    """Velocity kept, distance per unit of velocity, and added variances (position, both, velocity) over `dt_s`."""
    tau = axis.memory_s
    keep = math.exp(-dt_s / tau)
    q = 2 * axis.velocity**2 / tau
    position = q * tau**2 * (dt_s - 2 * tau * (1 - keep) + tau / 2 * (1 - keep**2))
    both = q * tau**2 / 2 * (1 - keep) ** 2
    velocity = axis.velocity**2 * (1 - keep**2)
    return keep, tau * (1 - keep), (position + axis.wander**2 * dt_s, both, velocity)


def correct(mean: Floats, cov: Floats, xyxy: Floats, trust: Floats) -> tuple[Floats, Floats, Floats]:
    """`mean`, `cov` and `scale` after seeing `xyxy`; `trust` is (N,) in (0, 1], the observation's noise is divided by it."""
    scale = sizes(xyxy)
    pp, pv, vv = cov[:, :, 0], cov[:, :, 1], cov[:, :, 2]
    expected = pp + np.square(scale[:, None] * _NOISE / trust[:, None])
    gain_position, gain_velocity = pp / expected, pv / expected
    surprise = to_centre(xyxy) - mean[:, :, 0]
    moved = np.stack([mean[:, :, 0] + gain_position * surprise, mean[:, :, 1] + gain_velocity * surprise], axis=2)
    spread = np.stack([(1 - gain_position) * pp, (1 - gain_position) * pv, vv - gain_velocity * pv], axis=2)
    return moved, spread, scale


def deviation(cov: Floats) -> Floats:
    """(N, 2) standard deviation of the centre's x and y in pixels."""
    return np.asarray(np.sqrt(np.maximum(cov[:, :2, 0], 0.0)))
