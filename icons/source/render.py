#!/usr/bin/env python3
"""Renders every icon from its SVG. Needs rsvg-convert; run it after changing a drawing.

    python3 icons/source/render.py

The drawings are written here too, as SVG beside this file: the dial and the five menubar shapes are
geometry, and geometry is easier to keep true as numbers.
"""

import math
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
ICONS = SOURCE.parent


def polar(radius, degrees, centre=512):
    """A point on a circle; 0 degrees is up, clockwise."""
    a = math.radians(degrees)
    return centre + radius * math.sin(a), centre - radius * math.cos(a)


def arc(radius, start, end):
    (x0, y0), (x1, y1) = polar(radius, start), polar(radius, end)
    large = 1 if end - start > 180 else 0
    return f"M{x0:.2f} {y0:.2f}A{radius} {radius} 0 {large} 1 {x1:.2f} {y1:.2f}"


def app_icon():
    ticks = []
    for n in range(0, 21):
        degrees = -120 + n * 12
        major = n % 5 == 0
        (x0, y0), (x1, y1) = polar(232, degrees), polar(196 if major else 212, degrees)
        ticks.append(
            f'<path d="M{x0:.2f} {y0:.2f}L{x1:.2f} {y1:.2f}" stroke-width="{14 if major else 7}" '
            f'stroke="#dfe8f2" stroke-opacity="{0.95 if major else 0.45}"/>'
        )
    needle = 42
    tip, left, right, tail = polar(214, needle), polar(15, needle - 90), polar(15, needle + 90), polar(58, needle + 180)
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in (tip, right, tail, left))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1024 1024">
  <defs>
    <linearGradient id="body" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#33475f"/>
      <stop offset="1" stop-color="#141d2a"/>
    </linearGradient>
    <radialGradient id="face" cx="0.5" cy="0.35" r="0.75">
      <stop offset="0" stop-color="#22314a"/>
      <stop offset="1" stop-color="#0d141f"/>
    </radialGradient>
    <linearGradient id="rim" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#f2f6fa"/>
      <stop offset="0.5" stop-color="#8fa0b5"/>
      <stop offset="1" stop-color="#c4cfdb"/>
    </linearGradient>
    <filter id="shadow" x="-20%" y="-20%" width="140%" height="140%">
      <feGaussianBlur stdDeviation="14"/>
    </filter>
  </defs>
  <rect x="100" y="112" width="824" height="824" rx="186" fill="#000" fill-opacity="0.32" filter="url(#shadow)"/>
  <rect x="100" y="100" width="824" height="824" rx="186" fill="url(#body)"/>
  <rect x="103" y="103" width="818" height="818" rx="183" fill="none" stroke="#fff" stroke-opacity="0.13" stroke-width="5"/>
  <circle cx="512" cy="512" r="312" fill="url(#rim)"/>
  <circle cx="512" cy="512" r="292" fill="url(#face)"/>
  <g fill="none" stroke-linecap="round">
    <path d="{arc(258, -120, 84)}" stroke="#43d19e" stroke-width="20"/>
    <path d="{arc(258, 91, 120)}" stroke="#f2a33c" stroke-width="20"/>
    {"".join(ticks)}
  </g>
  <polygon points="{points}" fill="#f7fafc"/>
  <circle cx="512" cy="512" r="38" fill="#f7fafc"/>
  <circle cx="512" cy="512" r="15" fill="#33475f"/>
  <circle cx="512" cy="676" r="27" fill="#43d19e"/>
  <circle cx="503" cy="667" r="8" fill="#fff" fill-opacity="0.75"/>
</svg>
"""


# Menubar shapes on a 44 px square (22 pt at 2x), black on nothing: macOS colours a template itself.
# The ring is the dial; what stands in it says the state, readable without colour.
RING = '<circle cx="22" cy="22" r="15.5" fill="none" stroke="#000" stroke-width="3.2"/>'
TRAY = {
    "well": RING + '<circle cx="22" cy="22" r="7.2"/>',
    "busy": '<path d="M22 6.5A15.5 15.5 0 0 1 37.5 22" fill="none" stroke="#000" stroke-width="3.2" stroke-linecap="round"/>'
    '<path d="M22 37.5A15.5 15.5 0 0 1 6.5 22" fill="none" stroke="#000" stroke-width="3.2" stroke-linecap="round"/>'
    '<circle cx="22" cy="22" r="7.2"/>',
    "degraded": '<path d="M22 6.2L39.2 36.4H4.8Z" fill="none" stroke="#000" stroke-width="3.2" stroke-linejoin="round"/>'
    '<path d="M22 17v9" stroke="#000" stroke-width="3.6" stroke-linecap="round"/><circle cx="22" cy="31.2" r="2.1"/>',
    "down": '<circle cx="22" cy="22" r="17.1"/>'
    '<path d="M16 16l12 12M28 16L16 28" stroke="#fff" stroke-width="3.8" stroke-linecap="round"/>',
    "unknown": '<circle cx="22" cy="22" r="15.5" fill="none" stroke="#000" stroke-width="3.2" stroke-dasharray="4.2 5.54"/>'
    '<path d="M18 18.4a4 4 0 1 1 5.6 3.7c-1.1.5-1.6 1.2-1.6 2.6" fill="none" stroke="#000" stroke-width="3" stroke-linecap="round"/>'
    '<circle cx="22" cy="29.2" r="1.9"/>',
}


def tray_icon(name):
    shape = TRAY[name]
    if name == "down":  # the cross is cut out, so that it shows on any menubar
        solid, cross = shape.split("/>", 1)
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 44 44"><mask id="cut">'
            f'<rect width="44" height="44" fill="#fff"/>{cross.replace("#fff", "#000")}</mask>'
            f'{solid} mask="url(#cut)"/></svg>\n'
        )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 44 44">{shape}</svg>\n'


def render(svg, png, size):
    subprocess.run(["rsvg-convert", "-w", str(size), "-h", str(size), "-o", png, svg], check=True)


def icns(path, pngs):
    """An .icns file: four-letter type, length, PNG, for each size."""
    entries = b"".join(
        kind + struct.pack(">I", len(data) + 8) + data for kind, data in ((k, p.read_bytes()) for k, p in pngs)
    )
    path.write_bytes(b"icns" + struct.pack(">I", len(entries) + 8) + entries)


def main():
    drawing = SOURCE / "icon.svg"
    drawing.write_text(app_icon())
    for name, size in {"32x32": 32, "128x128": 128, "128x128@2x": 256, "icon": 512}.items():
        render(drawing, ICONS / f"{name}.png", size)
    large = SOURCE / "1024.png"
    render(drawing, large, 1024)
    small = SOURCE / "64.png"
    render(drawing, small, 64)
    p = {32: ICONS / "32x32.png", 64: small, 128: ICONS / "128x128.png", 256: ICONS / "128x128@2x.png",
         512: ICONS / "icon.png", 1024: large}
    icns(ICONS / "icon.icns", [(b"ic11", p[32]), (b"ic12", p[64]), (b"ic07", p[128]), (b"ic13", p[256]),
                              (b"ic08", p[256]), (b"ic14", p[512]), (b"ic09", p[512]), (b"ic10", p[1024])])
    large.unlink()
    small.unlink()
    for name in TRAY:
        svg = SOURCE / f"tray-{name}.svg"
        svg.write_text(tray_icon(name))
        render(svg, ICONS / f"tray-{name}.png", 44)


if __name__ == "__main__":
    main()
