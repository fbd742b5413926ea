"""A procedural chest radiograph: endless labelled images with no download and no patient.

Drawn anatomy -> thickness of soft tissue and bone along each ray -> Beer-Lambert transmission -> film -> uint8.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrgan.errors import UserError

CLASSES = ("NORMAL", "PNEUMONIA")
SIZES = (16, 1024)  # smallest and largest image side, in pixels

Field = NDArray[np.floating[Any]]  # float32; a value per ray, (M, M), unless another shape is given
Point = tuple[float, float]

# Lengths are in halves of the image's width, about 12 cm of a child. Attenuation per such length: 0.2 /cm in soft
# tissue; what bone and the marker's lead add to it.
SOFT, BONE, LEAD = 2.4, 7.0, 600.0
LUNG_DENSITY = 0.22  # inflated lung, relative to soft tissue
MIN_RAYS = 128  # rays a side below which ribs would alias: smaller images are averaged from this many
LATTICE = 48  # cells a side of the random texture


@dataclass(frozen=True)
class View:
    """Where the patient stands before the detector. Image coordinates: x to the right, y down, both in [-1, 1]."""

    zoom: float  # image lengths per patient length
    aspect: float  # horizontal stretch: films are squeezed to squares
    shift_x: float
    shift_y: float
    roll: float  # radians, in the plane of the film
    bend: float  # sideways curve of the trunk: u moves by bend * v^2


@dataclass(frozen=True)
class Thorax:
    """The trunk and its limbs. Patient coordinates: u to the patient's left (image right), v to the feet."""

    half_width: float  # of the rib cage, at its widest
    apex: float  # v of the top of the cage
    base: float  # v where the cage is widest
    squareness: float  # 0: the cage's upper part is half an ellipse; below 0 pointed, above 0 boxy
    depth: float  # front to back, inside the ribs
    wall: float  # soft tissue around the ribs, front and back
    flank: float  # soft tissue around the ribs, at the sides
    domes: tuple[float, float]  # v of the right and left hemidiaphragm; the right is higher
    dome_curve: float  # how fast a dome falls away from its top
    shoulder: float  # v of the shoulders
    arms: Point  # angle of right and left arm, radians from hanging down
    chin: Point  # u, v


@dataclass(frozen=True)
class Tubes:
    """Round tubes along cubic Bezier curves."""

    control: Field  # (K, 4, 2) control points (u, v)
    radius: Field  # (K, 2) at start and end


@dataclass(frozen=True)
class Skeleton:
    """Ribs are rings tilted forwards, so that one ring is a posterior and an anterior arc on the film."""

    pitch: float  # distance between ribs, and between vertebrae
    tilt_back: float  # how far the posterior arc rises towards the spine, relative to the cage's half depth
    tilt_front: float  # how far the anterior arc falls towards the sternum
    rib_width: float  # half the height of a rib, relative to the pitch
    rib_bone: float  # thickness of bone in a posterior rib
    strength: Field  # (12,) relative bone of each rib
    spine_width: float  # half width of the vertebral bodies
    spine_bone: float  # thickness of bone in a vertebral body
    girdle: Tubes  # clavicles, scapulae, jaw


@dataclass(frozen=True)
class Mediastinum:
    """Heart, great vessels and airways, between the lungs."""

    heart: tuple[float, float, float, float, float]  # centre u, v; half axes along and across; tilt
    column: float  # half width of the upper mediastinum
    knob: tuple[float, float, float]  # aortic knob: u, v, radius
    trachea: tuple[float, float, float]  # u, v of the carina, half width
    vessels: Tubes  # pulmonary vessels, branching from the hila
    hilum: float  # v of the hila


@dataclass(frozen=True)
class Opacity:
    """What pneumonia adds to the lungs; drawn for every patient and shown only in the sick."""

    patches: Field  # (P, 5) u, v, half axes, share of air replaced (0: no patch)
    roughness: float  # how irregular their outline is
    interstitial: float  # share of air replaced by a fine mesh around the hila


@dataclass(frozen=True)
class Exposure:
    """From transmitted light to grey values."""

    dose: float  # photons per unit of area at the detector, beside the patient
    veil: float  # scattered light, relative to the light behind the belly
    toe: float  # attenuation still shown black, relative to the belly's
    curve: float  # how strongly the film saturates towards white
    levels: tuple[float, float]  # grey values of air and belly, in [0, 255]


@dataclass(frozen=True)
class Anatomy:
    """All that is random about one film, but for quantum noise; lengths hold at every image size."""

    view: View
    thorax: Thorax
    skeleton: Skeleton
    mediastinum: Mediastinum
    gas: Field  # (G, 4) stomach and bowel: u, v, half axes (0: none seen)
    opacity: Opacity
    exposure: Exposure
    texture: Field  # (2, LATTICE, LATTICE) smooth noise of unit variance, coarse and fine
    marker: Tubes | None  # the lead letter R, in image coordinates


# --- drawing the anatomy -------------------------------------------------------------------------------------


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """One patient and one exposure."""
    view = draw_view(rng)
    thorax = draw_thorax(rng)
    return Anatomy(
        view=view,
        thorax=thorax,
        skeleton=draw_skeleton(rng, thorax),
        mediastinum=draw_mediastinum(rng, thorax),
        gas=draw_gas(rng, thorax),
        opacity=draw_opacity(rng, thorax),
        exposure=draw_exposure(rng),
        texture=np.stack([draw_texture(rng, 1.6), draw_texture(rng, 0.8)]),
        marker=draw_marker(rng),
    )


def draw_view(rng: np.random.Generator) -> View:
    return View(
        zoom=math.exp(rng.normal(0.09, 0.08)),
        aspect=math.exp(rng.normal(0, 0.05)),
        shift_x=rng.normal(0, 0.04),
        shift_y=rng.normal(0, 0.06),
        roll=rng.normal(0, 0.035),
        bend=rng.normal(0, 0.02),
    )


def draw_thorax(rng: np.random.Generator) -> Thorax:
    dome = rng.uniform(0.36, 0.54)
    habitus = rng.uniform()  # slender to stout
    apex = rng.uniform(-0.72, -0.60)
    raised = rng.uniform() < 0.45
    arm = rng.uniform(2.0, 2.8) if raised else rng.uniform(0.1, 0.9)
    return Thorax(
        half_width=rng.uniform(0.68, 0.78),
        apex=apex,
        base=rng.uniform(0.40, 0.60),
        squareness=rng.uniform(-0.35, 0.45),
        depth=rng.uniform(0.90, 1.05),
        wall=0.03 + 0.11 * habitus,
        flank=0.05 + 0.08 * habitus + rng.uniform(0, 0.04),
        domes=(dome, dome + rng.uniform(0.02, 0.09)),
        dome_curve=rng.uniform(1.3, 2.4),
        shoulder=apex + rng.uniform(-0.08, 0.06),
        arms=(arm + rng.normal(0, 0.15), arm + rng.normal(0, 0.15)),
        chin=(rng.normal(0, 0.06), rng.uniform(-1.15, -0.78)),
    )


def draw_skeleton(rng: np.random.Generator, thorax: Thorax) -> Skeleton:
    return Skeleton(
        pitch=rng.uniform(0.135, 0.17),
        tilt_back=rng.uniform(0.55, 0.95),
        tilt_front=rng.uniform(0.65, 1.0),
        rib_width=rng.uniform(0.21, 0.28),
        rib_bone=rng.uniform(0.03, 0.055),
        strength=rng.uniform(0.8, 1.2, 12).astype(np.float32),
        spine_width=rng.uniform(0.085, 0.11),
        spine_bone=rng.uniform(0.05, 0.09),
        girdle=draw_girdle(rng, thorax),
    )


def draw_girdle(rng: np.random.Generator, thorax: Thorax) -> Tubes:
    """Clavicles and scapulae of both sides, and the jaw."""
    top = thorax.shoulder
    lift = rng.uniform(-0.10, 0.08)
    clavicle = [(0.06, top + 0.14), (0.24, top + 0.10), (0.40, top - 0.08 + lift), (0.68, top - 0.02 + lift)]
    scapula = [(0.76, top + 0.02), (0.64, top + 0.15), (0.76, top + 0.32), (0.74, top + 0.48)]
    curves = [[(side * u, v) for u, v in curve] for side in (-1, 1) for curve in (clavicle, scapula)]
    u, v = thorax.chin
    curves.append([(u - 0.27, v - 0.25), (u - 0.2, v + 0.03), (u + 0.2, v + 0.03), (u + 0.27, v - 0.25)])
    control = np.array(curves)
    control += rng.normal(0, 0.012, control.shape)
    radius = [(0.034, 0.028), (0.030, 0.010)] * 2 + [(0.045, 0.045)]
    return Tubes(control.astype(np.float32), np.array(radius, dtype=np.float32))


def draw_mediastinum(rng: np.random.Generator, thorax: Thorax) -> Mediastinum:
    bottom = sum(thorax.domes) / 2
    hilum = bottom - rng.uniform(0.42, 0.50)
    size = rng.uniform(0.9, 1.25)
    heart = (rng.uniform(0.09, 0.14), bottom - 0.21 + rng.normal(0, 0.02), 0.37 * size, 0.28 * size)
    return Mediastinum(
        heart=(*heart, rng.uniform(0.40, 0.75)),
        column=rng.uniform(0.13, 0.20),
        knob=(rng.uniform(0.09, 0.14), hilum - rng.uniform(0.14, 0.2), rng.uniform(0.07, 0.10)),
        trachea=(rng.normal(-0.01, 0.01), hilum - rng.uniform(0.08, 0.14), rng.uniform(0.035, 0.05)),
        vessels=draw_vessels(rng, hilum),
        hilum=hilum,
    )


def draw_vessels(rng: np.random.Generator, hilum: float) -> Tubes:
    """Two trees of three generations: each branch forks in two, thinner and shorter."""
    stems = 6
    side = np.repeat([-1.0, 1.0], stems)
    # Angles from the horizontal: most branches run downwards and outwards, towards the larger bases.
    angle = np.tile(np.linspace(-1.25, 1.35, stems), 2) + rng.normal(0, 0.2, 2 * stems)
    start = np.stack([side * 0.17, np.full(2 * stems, hilum)], axis=1) + rng.normal(0, 0.025, (2 * stems, 2))
    length, thick = rng.uniform(0.10, 0.26, 2 * stems), rng.uniform(0.010, 0.022, 2 * stems)
    curves, radii = [], []
    for _ in range(3):
        course = angle[:, None] + rng.normal(0, 0.35, (len(angle), 4)) * (0, 1, 1, 0)  # bowed, but ends ahead
        reach = length[:, None] * np.array([0, 1, 2, 3]) / 3
        steps = np.stack([side[:, None] * np.cos(course), np.sin(course)], axis=2) * reach[:, :, None]
        control = start[:, None] + steps
        curves.append(control)
        radii.append(np.stack([thick, 0.75 * thick], axis=1))
        start, side = np.repeat(control[:, 3], 2, axis=0), np.repeat(side, 2)
        forks = len(side)
        angle = np.repeat(angle, 2) + rng.uniform(0.15, 0.5, forks) * np.resize([-1, 1], forks)
        length = np.repeat(length, 2) * rng.uniform(0.6, 1.0, forks)
        thick = np.repeat(thick, 2) * rng.uniform(0.5, 0.7, forks)
    return Tubes(np.concatenate(curves).astype(np.float32), np.concatenate(radii).astype(np.float32))


def draw_gas(rng: np.random.Generator, thorax: Thorax) -> Field:
    """The stomach's bubble under the left dome, and a loop of bowel; often neither is seen."""
    dome = thorax.domes[1]
    low = np.array([[0.28, dome + 0.12, 0.10, 0.05], [0.05, dome + 0.30, 0.08, 0.05]])
    high = np.array([[0.45, dome + 0.20, 0.20, 0.11], [0.60, dome + 0.45, 0.20, 0.09]])
    seen = rng.uniform(size=(2, 1)) < 0.45
    return (rng.uniform(low, high) * seen).astype(np.float32)


def draw_opacity(rng: np.random.Generator, thorax: Thorax) -> Opacity:
    """Lobar consolidation, scattered patches or an interstitial mesh, and what lies between them."""
    num = 4
    side = rng.choice([-1, 1], num)
    u, v = side * rng.uniform(0.22, 0.55, num), rng.uniform(-0.4, thorax.domes[0] - 0.05, num)
    axes = rng.uniform(0.10, 0.24, (num, 2))
    share = rng.uniform(0.25, 0.75, num) * (rng.uniform(size=num) < 0.6)
    share[0] = rng.uniform(0.45, 0.85)  # one is always there
    if rng.uniform() < 0.45:
        axes[0] = rng.uniform(0.22, 0.42, 2)  # most of a lobe
    return Opacity(
        patches=np.column_stack([u, v, axes, share]).astype(np.float32),
        roughness=rng.uniform(0.2, 0.5),
        interstitial=rng.uniform(0, 0.45),
    )


def draw_exposure(rng: np.random.Generator) -> Exposure:
    return Exposure(
        dose=10 ** rng.uniform(7.5, 8.5),
        veil=rng.uniform(0.1, 0.7),
        toe=rng.uniform(0.10, 0.22),
        curve=rng.uniform(0.4, 1.5),
        levels=(max(0.0, rng.normal(-6, 12)), rng.uniform(180, 230)),
    )


def draw_texture(rng: np.random.Generator, slope: float) -> Field:
    """Periodic noise (LATTICE, LATTICE) of unit variance with an amplitude spectrum of 1 / frequency^slope."""
    noise = np.fft.rfft2(rng.standard_normal((LATTICE, LATTICE), dtype=np.float32))
    texture = np.fft.irfft2(noise * falling_spectrum(slope), s=(LATTICE, LATTICE)).astype(np.float32)
    return texture / np.std(texture)


@cache
def falling_spectrum(slope: float) -> Field:
    """Amplitude 1 / frequency^slope of each of `rfft2`'s frequencies; no mean."""
    frequency = np.hypot(np.fft.fftfreq(LATTICE)[:, None], np.fft.rfftfreq(LATTICE))
    frequency[0, 0] = np.inf
    amplitude: Field = (frequency**-slope).astype(np.float32)
    return amplitude


def draw_marker(rng: np.random.Generator) -> Tubes | None:
    """The letter R beside the patient's right shoulder or flank, on two films of three."""
    height = rng.uniform(0.04, 0.10)
    left, top = rng.uniform(-0.97, -0.75), rng.uniform(-0.95, 0.1)
    if rng.uniform() > 0.65:
        return None
    stem = [(0, 0), (0, 0.33), (0, 0.67), (0, 1)]
    bowl = [(0, 0), (0.85, -0.05), (0.85, 0.6), (0, 0.52)]
    leg = [(0.25, 0.52), (0.35, 0.68), (0.45, 0.84), (0.6, 1)]
    control = np.array([stem, bowl, leg], dtype=np.float32) * height + np.array([left, top], dtype=np.float32)
    return Tubes(control, np.full((3, 2), 0.075 * height, dtype=np.float32))


# --- geometry ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beam:
    """Where the rays pass through the patient, and the texture that they meet there; (M, M) each."""

    u: Field
    v: Field
    aside: Field  # |u|, distance from the midline
    coarse: Field  # noise of unit variance
    fine: Field
    pixel: float  # distance between rays


def beam_through(anatomy: Anatomy, rays: int) -> Beam:
    """A square beam with `rays` rays a side."""
    view = anatomy.view
    axis = (np.arange(rays, dtype=np.float32) + 0.5) * (2 / rays) - 1
    x, y = (axis[None, :] - view.shift_x) / view.zoom, (axis[:, None] - view.shift_y) / view.zoom
    cos, sin = math.cos(view.roll), math.sin(view.roll)
    v = cos * y - sin * x
    u = (cos * x + sin * y) / view.aspect - view.bend * v * v
    coarse, fine = (spread(lattice, rays) for lattice in anatomy.texture)
    return Beam(u, v, np.abs(u), coarse, fine, pixel=2 / rays / view.zoom)


def project(tubes: Tubes, view: View) -> Tubes:
    """Tubes in patient coordinates -> in image coordinates: the inverse of what `beam_through` does."""
    u, v = tubes.control[..., 0], tubes.control[..., 1]
    u, v = (u + view.bend * v * v) * (view.aspect * view.zoom), v * view.zoom
    cos, sin = math.cos(view.roll), math.sin(view.roll)
    control = np.stack([cos * u - sin * v + view.shift_x, sin * u + cos * v + view.shift_y], axis=-1)
    return Tubes(control, tubes.radius * view.zoom)


def spread(texture: Field, rays: int) -> Field:
    """Periodic lattice (L, L) -> (M, M), by quadratic B-splines, one axis after the other."""
    position = (np.arange(rays, dtype=np.float32) + 0.5) * (LATTICE / rays)
    cell = position.astype(np.intp)
    t = (position - cell.astype(np.float32))[:, None]
    for _ in range(2):
        before, here, after = (texture[(cell + shift) % LATTICE] for shift in (-1, 0, 1))
        blend = 0.5 * (1 - t) ** 2 * before + (0.5 + t - t * t) * here + 0.5 * t * t * after
        texture = np.ascontiguousarray(blend.T)
    return texture


def step(x: Field, width: float) -> Field:
    """0 below -width, 1 above width, smooth between."""
    t: Field = (x * (0.5 / width) + 0.5).clip(0, 1)
    return t * t * (3 - 2 * t)


def chord(q: Field) -> Field:
    """Path through the unit sphere, relative to its diameter; q is the squared distance to the centre."""
    path: Field = np.sqrt(np.maximum(1 - q, 0))
    return path


def ellipse(beam: Beam, centre: Point, axes: Point, tilt: float = 0) -> Field:
    """Squared distance to the centre of an ellipse, 1 on its outline."""
    u, v = beam.u - centre[0], beam.v - centre[1]
    if tilt:
        cos, sin = math.cos(tilt), math.sin(tilt)
        u, v = cos * u + sin * v, cos * v - sin * u
    return (u * (1 / axes[0])) ** 2 + (v * (1 / axes[1])) ** 2


def off_axis(u: Field, v: Field, start: Point, end: Point) -> Field:
    """Squared distance to a line segment."""
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    u, v = u - start[0], v - start[1]
    along = ((u * along_u + v * along_v) * (1 / (along_u**2 + along_v**2))).clip(0, 1)
    return (u - along * along_u) ** 2 + (v - along * along_v) ** 2


def rod(off: Field, radius: float) -> Field:
    """Thickness of a round rod in the film's plane, from the squared distance to its axis."""
    return 2 * radius * chord(off * (1 / radius**2))


def tube_thickness(tubes: Tubes, rays: int, hollow: float = 0) -> Field:
    """Thickness (M, M) of tubes in image coordinates; `hollow` is the share of bone that their marrow lacks.

    Tubes are sampled along and across, and each sample's volume is shared among the nearest rays: however thin, a
    tube keeps its mass and does not alias.
    """
    length = np.linalg.norm(np.diff(tubes.control, axis=1), axis=2).sum(1).max()
    num_along = 1 + math.ceil(rays / 2 * length)
    num_across = 1 + math.ceil(rays * tubes.radius.max())
    s = (np.arange(num_along, dtype=np.float32) + 0.5) / num_along
    t = (np.arange(num_across, dtype=np.float32) + 0.5) * (2 / num_across) - 1
    (x, dx), (y, dy) = bezier(tubes.control[:, :, 0], s), bezier(tubes.control[:, :, 1], s)
    speed = np.sqrt(dx * dx + dy * dy)
    radius = (tubes.radius[:, :1] * (1 - s) + tubes.radius[:, 1:] * s) * chord((2 * s - 1) ** 8)  # round ends
    aside = (radius / speed)[:, :, None] * t
    height = chord(t * t) - hollow * chord((t * (1 / 0.65)) ** 2)
    volume = (radius * radius * speed)[:, :, None] * (height * (4 / (num_along * num_across)))
    return splat(x[:, :, None] - aside * dy[:, :, None], y[:, :, None] + aside * dx[:, :, None], volume, rays)


def bezier(control: Field, s: Field) -> tuple[Field, Field]:
    """One coordinate and its slope (K, S) along cubic curves with control values (K, 4), at s in [0, 1]."""
    a, b, c, d = (control[:, i : i + 1] for i in range(4))
    one, two, three = 3 * (b - a), 3 * (a - 2 * b + c), d - a + 3 * (b - c)
    return a + s * (one + s * (two + s * three)), one + s * (2 * two + s * (3 * three))


def splat(x: Field, y: Field, volume: Field, rays: int) -> Field:
    """Thickness (M, M) of volumes at image points (x, y), each shared among the four rays around it."""
    wide = rays + 3  # a margin of one ray before and two after takes what falls outside the film
    column, row = (((at.ravel() + 1) * (rays / 2) + 0.5).clip(0, rays + 1.5) for at in (x, y))
    left, top = column.astype(np.intp), row.astype(np.intp)
    to_right, to_low = column - left.astype(np.float32), row - top.astype(np.float32)
    thickness = volume.ravel() * (rays / 2) ** 2
    low = thickness * to_low
    high = thickness - low
    low_right, high_right = low * to_right, high * to_right
    corner = top * wide + left
    index = np.concatenate([corner, corner + 1, corner + wide, corner + wide + 1])
    share = np.concatenate([high - high_right, high_right, low - low_right, low_right])
    film = np.bincount(index, share, minlength=wide * wide).reshape(wide, wide)
    return film[1 : rays + 1, 1 : rays + 1].astype(np.float32)


# --- thickness along each ray --------------------------------------------------------------------------------


def cage_width(v: Field, thorax: Thorax) -> Field:
    """Half width of the rib cage at level v; 0 above its apex."""
    rise = ((thorax.base - v) * (1 / (thorax.base - thorax.apex))).clip(0, 1) ** 2
    width: Field = thorax.half_width * np.sqrt((1 - rise) * (1 + thorax.squareness * rise))
    return width


def arm_axes(beam: Beam, thorax: Thorax) -> Field:
    """Squared distance to the axis of the nearer arm."""
    level = thorax.shoulder + 0.1
    off: list[Field] = []
    for shoulder, angle in zip((-0.9, 0.9), thorax.arms, strict=True):
        hand = (shoulder * (1 + 1.3 * math.sin(angle)), level + 1.3 * math.cos(angle))
        off.append(off_axis(beam.u, beam.v, (shoulder, level), hand))
    return np.minimum(off[0], off[1])


def body_thickness(beam: Beam, arms: Field, thorax: Thorax) -> Field:
    """Front to back through trunk, shoulders, neck, head and arms, as if all were soft tissue."""
    u, v, top = beam.u, beam.v, thorax.shoulder
    width = thorax.half_width + thorax.flank + 0.12 * step(top + 0.4 - v, 0.35)  # broader at the armpits
    across = (u / width) ** 2
    trunk = (thorax.depth + 2 * thorax.wall) * chord(across * (0.7 + 0.3 * across)) * step(v - top, 0.35)
    shoulders = rod(off_axis(beam.aside, v, (0.0, top - 0.06), (0.95, top + 0.14)), 0.23)
    neck = rod(off_axis(u, v, (0.0, -1.5), (0.0, -0.5)), 0.26)
    head = 1.1 * chord(ellipse(beam, (thorax.chin[0], thorax.chin[1] - 0.35), (0.40, 0.38)))
    arm = rod(arms, 0.12 + 0.6 * thorax.flank)
    # The root of the sum of squares joins the parts without creases.
    thickness: Field = np.sqrt(trunk**2 + shoulders**2 + neck**2 + head**2 + arm**2)
    return thickness * (1 + 0.03 * beam.coarse)


def mediastinum_thickness(beam: Beam, anatomy: Anatomy) -> Field:
    """Front to back through heart, aortic knob, pulmonary trunk and the column of the other great vessels."""
    chest, v = anatomy.mediastinum, beam.v
    heart_u, heart_v, along, across, tilt = chest.heart
    knob_u, knob_v, radius = chest.knob
    inlet = anatomy.thorax.apex + 0.15  # the vessels of neck and arms fan out above it
    width = chest.column * (0.85 + 0.6 * step(v - chest.hilum, 0.3) + 0.5 * step(inlet - v, 0.25))
    organs = (
        (0.5, ellipse(beam, (heart_u, heart_v), (along, across), tilt)),
        (0.2, ellipse(beam, (knob_u, knob_v), (radius, 1.2 * radius))),
        (0.3, ellipse(beam, (knob_u - 0.02, (knob_v + heart_v) / 2), (1.8 * radius, 0.24), -0.35)),
        (0.4, (beam.u / width) ** 2),
    )
    squares = [(depth * np.maximum(1 - q, 0)) ** 2 for depth, q in organs]
    thickness: Field = np.sqrt(np.sqrt(squares[0] + squares[1] + squares[2] + squares[3]))
    return thickness


def above_diaphragm(beam: Beam, thorax: Thorax) -> Field:
    """Share of the chest's depth that is above the diaphragm: 1 in the lung, towards 0 in the belly."""
    right, left = thorax.domes
    off_top = beam.aside - 0.36
    fall = thorax.dome_curve * off_top * np.maximum(off_top, -0.5 * off_top)
    below = beam.v - np.where(beam.u < 0, np.float32(right), np.float32(left)) - fall
    recess: Field = 0.25 * np.exp(np.minimum(-9 * below, 0))  # the lung behind the dome reaches lower
    return recess + 0.75 * step(-below, max(0.02, beam.pixel))


def opacity_share(beam: Beam, anatomy: Anatomy) -> Field:
    """Share of the lung's air that pneumonia has replaced, in [0, 0.9]."""
    opacity, fine = anatomy.opacity, beam.fine
    around_hila: Field = np.exp(-2.5 * ((beam.aside - 0.2) ** 2 + (beam.v - anatomy.mediastinum.hilum - 0.1) ** 2))
    total: Field = opacity.interstitial * around_hila * (0.6 + 0.5 * fine).clip(0, 2)
    ragged = 1 + opacity.roughness * (beam.coarse + 0.3 * fine)
    for u, v, half_width, half_height, share in opacity.patches.tolist():
        if share:
            inside = ragged - np.sqrt(ellipse(beam, (u, v), (half_width, half_height)))
            total += share * step(inside, 0.9) * (1 + 0.1 * fine)
    return np.minimum(total, 0.9)


def lung_air(beam: Beam, width: Field, aerated: Field, anatomy: Anatomy, sick: bool) -> Field:
    """Depth of air in the lungs: what the mediastinum, vessels and pneumonia leave of the rib cage."""
    thorax, chest = anatomy.thorax, anatomy.mediastinum
    across = (beam.u / np.maximum(width, 0.02)) ** 2
    cage = thorax.depth * chord(across * (0.4 + 0.6 * across)) * np.sqrt(width * (1 / thorax.half_width))
    lung = np.maximum(cage - mediastinum_thickness(beam, anatomy), 0) * aerated
    vessels = 3 * tube_thickness(project(chest.vessels, anatomy.view), len(beam.u))
    hila = 0.05 * np.exp(-40 * (beam.aside - 0.2) ** 2 - 20 * (beam.v - chest.hilum) ** 2)
    air: Field = lung * (1 - LUNG_DENSITY) * (1 + 0.07 * beam.fine)
    air -= np.minimum(vessels + hila, 0.25) * np.minimum(2 * lung, 1)
    return air * (1 - opacity_share(beam, anatomy)) if sick else air


def other_air(beam: Beam, anatomy: Anatomy) -> Field:
    """Depth of air in trachea and main bronchi, stomach and bowel."""
    u, v, half_width = anatomy.mediastinum.trachea
    trachea = 2.8 * half_width * chord(((beam.u - u) * (1 / half_width)) ** 2) * step(v - beam.v, 0.03)
    right = rod(off_axis(beam.u, beam.v, (u - 0.01, v), (u - 0.15, v + 0.16)), 0.7 * half_width)
    left = rod(off_axis(beam.u, beam.v, (u + 0.01, v), (u + 0.20, v + 0.14)), 0.6 * half_width)
    air = np.maximum(trachea, np.maximum(right, left))
    for u, v, half_width, half_height in anatomy.gas.tolist():
        if half_height:
            bubble = ellipse(beam, (u, v), (half_width, half_height))
            air += 2.5 * half_height * chord(bubble * (1 + 0.15 * beam.coarse))
    return air


def rib_thickness(beam: Beam, width: Field, anatomy: Anatomy) -> Field:
    """Bone of the ribs: posterior arcs, fainter anterior arcs, dense where a rib turns along the ray."""
    thorax, bones = anatomy.thorax, anatomy.skeleton
    across = beam.aside / np.maximum(width, 0.02)
    turn = chord(across * across)  # a ring seen from the front: 1 at the midline, 0 where it turns
    drop = width * turn * (thorax.depth / (2 * thorax.half_width))
    level = beam.v - thorax.apex - 0.03
    back = rib_profile(level + bones.tilt_back * drop, bones, beam.pixel)
    front = rib_profile(level - bones.tilt_front * drop, bones, beam.pixel) * step(across - 0.55, 0.2)
    inward = width - beam.aside
    rim: Field = np.exp(-(((inward - 0.012) * 45) ** 2))  # the turns of all ribs merge into a line
    arcs = (back + 0.5 * front) / np.maximum(turn, 0.4) * step(inward, 0.02 + beam.pixel)
    return bones.rib_bone * step(width - 0.15, 0.1) * (arcs + 1.2 * rim)


def rib_profile(level: Field, bones: Skeleton, pixel: float) -> Field:
    """Relative bone at a height along the cage: cortex at both edges of each rib, marrow between."""
    phase = level * (1 / bones.pitch)
    number = np.floor(phase)
    off_centre = np.abs(phase - number - 0.5) * (1 / bones.rib_width)
    edge = 0.25 + pixel / (bones.pitch * bones.rib_width)
    shape = step(1 - off_centre, edge) * (0.6 + 0.4 * np.minimum(off_centre, 1) ** 2)
    strength = np.pad(bones.strength, 1)  # nothing above the first rib, nothing below the last
    bone: Field = shape * strength[(number + 1).clip(0, 13).astype(np.intp)]
    return bone


def spine_thickness(beam: Beam, anatomy: Anatomy) -> Field:
    """Bone of the vertebral column: bodies, discs between them, pedicles and spinous processes."""
    bones = anatomy.skeleton
    across = (beam.u * (1 / bones.spine_width)) ** 2
    wave: Field = np.cos((beam.v - anatomy.thorax.apex) * (2 * math.pi / bones.pitch))  # 1 mid-body, -1 in a disc
    waist = across * (1.12 + 0.12 * wave)
    body = step(1 - waist * waist, 0.35) * (0.68 + 0.32 * wave)
    pedicles = 0.35 * np.exp(-14 * (np.sqrt(across) - 0.62) ** 2) * np.maximum(wave, 0) ** 2
    process = 0.3 * np.exp(-22 * across) * np.maximum(-wave, 0)
    bone: Field = bones.spine_bone * (body + pedicles + process)
    return bone


def attenuation(anatomy: Anatomy, rays: int, sick: bool) -> Field:
    """Line integral of the attenuation coefficient along each ray, (M, M); 0 beside the patient."""
    beam = beam_through(anatomy, rays)
    width = cage_width(beam.v, anatomy.thorax)
    aerated = above_diaphragm(beam, anatomy.thorax)
    arms = arm_axes(beam, anatomy.thorax)
    soft = body_thickness(beam, arms, anatomy.thorax)
    air = lung_air(beam, width, aerated, anatomy, sick) + other_air(beam, anatomy)
    bone = rib_thickness(beam, width, anatomy) * (0.35 + 0.65 * aerated)  # drowned by scatter in the belly
    bone += spine_thickness(beam, anatomy)
    bone += 0.4 * rod(arms, 0.065)
    bone += 1.5 * tube_thickness(project(anatomy.skeleton.girdle, anatomy.view), rays, hollow=0.2)
    total = SOFT * np.maximum(soft - air, 0) + BONE * bone * np.minimum(3 * soft, 1)  # no bone outside the skin
    return total + LEAD * tube_thickness(anatomy.marker, rays) if anatomy.marker else total


# --- exposure ------------------------------------------------------------------------------------------------


def expose(paths: Field, size: int, anatomy: Anatomy, rng: np.random.Generator) -> Field:
    """Attenuation (M, M) -> optical density (size, size) relative to the belly's, with scatter and quantum noise."""
    exposure, thorax = anatomy.exposure, anatomy.thorax
    belly = SOFT * (thorax.depth + 2 * thorax.wall)
    light = np.exp(-paths) + exposure.veil * math.exp(-belly)
    block = len(paths) // size
    light = light.reshape(size, block, size, block).mean(axis=(1, 3))
    photons = exposure.dose * (2 / size) ** 2 * light  # a large pixel gathers more of them
    noise = rng.standard_normal(light.shape, dtype=np.float32) / np.sqrt(photons)
    density: Field = (noise - np.log(light)) * (1 / belly)
    return density


def develop(density: Field, exposure: Exposure) -> NDArray[np.uint8]:
    """Optical density -> grey values, air dark and bone bright; the film saturates towards white."""
    beyond_toe = np.maximum(density - exposure.toe, 0) * (1 / (1 - exposure.toe))
    shown = np.expm1(-exposure.curve * beyond_toe) * (1 / math.expm1(-exposure.curve))  # 0: air, 1: belly
    air, belly = exposure.levels
    grey: NDArray[np.uint8] = (air + (belly - air) * shown).round().clip(0, 255).astype(np.uint8)
    return grey


def phantom(seed: int, index: int, size: int, label: str) -> NDArray[np.uint8]:
    """The film of patient `index`, (size, size) uint8: a pure function of its arguments.

    A patient is the same at every size and with either label: pneumonia adds an opacity and changes nothing else.
    """
    if label not in CLASSES:
        raise UserError(f"a phantom cannot have the label {label!r}: choose {' or '.join(CLASSES)}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"a phantom cannot have {size} pixels a side: choose from {SIZES[0]} to {SIZES[1]}")
    if seed < 0 or index < 0:
        raise UserError(f"a phantom's seed and index cannot be negative: {seed}, {index}")
    rng = np.random.default_rng([seed, index])
    anatomy = draw_anatomy(rng)
    paths = attenuation(anatomy, size * math.ceil(MIN_RAYS / size), sick=label == "PNEUMONIA")
    return develop(expose(paths, size, anatomy, rng), anatomy.exposure)


def phantoms(num: int, size: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Images and labels of patients 0 to num - 1, healthy and sick in turn: half of each."""
    for index in range(num):
        label = CLASSES[index % len(CLASSES)]
        yield phantom(seed, index, size, label), label
