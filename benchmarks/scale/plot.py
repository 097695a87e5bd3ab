"""A curve as SVG: both axes logarithmic, one line of points."""

import math
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 560
HEIGHT: Final = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 32, 48
_HEAD: Final = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    ' font-family="sans-serif" font-size="11">'
)


def svg(title: str, across: str, up: str, points: Sequence[tuple[float, float]]) -> str:
    """points: in order of x; an x of 0 stands left of the smallest other one."""
    smallest = min((x for x, _ in points if x > 0), default=1.0)
    known = [(x if x > 0 else smallest / 4, y) for x, y in points]
    xs, ys = _Scale.over([x for x, _ in known]), _Scale.over([y for _, y in known])
    places = [(_place_x(xs, x), _place_y(ys, y)) for x, y in known]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    bottom = HEIGHT - _BOTTOM
    parts = [
        _HEAD,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{title}</text>',
        *_grid(ys),
        f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
    ]
    for (px, py), (x, y) in zip(places, points, strict=True):
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="#1f6feb"/>')
        parts.append(_text(f"{y:.3g}", px, py - 8))
        parts.append(_text(_short(x), px, bottom + 16))
    parts.append(_text(across, WIDTH / 2, HEIGHT - 10))
    turned = f'transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{up}</text>")
    parts.append("</svg>\n")
    return "\n".join(parts)


class _Scale:
    """Logarithmic, from 0 to 1."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = math.log10(low), math.log10(high)

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Scale":
        return cls(min(values) / 1.25, max(values) * 1.4)

    def at(self, value: float) -> float:
        return (math.log10(value) - self.low) / (self.high - self.low)

    def decades(self) -> list[float]:
        """1, 2 and 5 of each."""
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1)
        ticks = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
        return [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]


def _text(words: str, x: float, y: float) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{words}</text>'


def _grid(ys: _Scale) -> list[str]:
    lines = []
    for tick in ys.decades():
        y = _place_y(ys, tick)
        lines.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    bottom = HEIGHT - _BOTTOM
    lines.append(
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{WIDTH - _RIGHT}" y2="{bottom}" stroke="#888"/>'
    )
    return lines


def _place_x(scale: _Scale, value: float) -> float:
    return _LEFT + scale.at(value) * (WIDTH - _LEFT - _RIGHT)


def _place_y(scale: _Scale, value: float) -> float:
    return HEIGHT - _BOTTOM - scale.at(value) * (HEIGHT - _TOP - _BOTTOM)


def _short(value: float) -> str:
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{suffix}"
    return f"{value:g}"
