# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A line plot as SVG text, with nothing but the standard library."""

import html
import math

COLOURS = ["#1f6fb4", "#d1602b", "#3a8f4a", "#8a4fb0", "#7a7a7a", "#b8902a", "#111111", "#c0392b"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 710, 400, 64, 195, 36, 48


def svg(series, title, x_label, y_label):
    """`series`: name -> list of (x, y), y above 0 on a logarithmic axis."""
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError("there is nothing to plot")
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low = 10 ** (math.log10(min(y for _, y in points)) - 0.05)
    y_high = 10 ** (math.log10(max(y for _, y in points)) + 0.05)
    across = lambda x: LEFT + (x - x_low) / ((x_high - x_low) or 1) * (WIDTH - LEFT - RIGHT)
    up = lambda y: HEIGHT - BOTTOM - (math.log(y / y_low) / math.log(y_high / y_low)) * (HEIGHT - TOP - BOTTOM)
    text = lambda x, y, words, more="": (f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" {more}>'
                                         f"{html.escape(words)}</text>")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', text(8, 20, title, 'font-weight="bold"')]
    decades = range(math.floor(math.log10(y_low)), math.ceil(math.log10(y_high)) + 1)
    for y in [factor * 10.0 ** power for power in decades for factor in (1, 2, 5)]:
        if y_low <= y <= y_high:
            out.append(f'<path d="M{LEFT} {up(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            out.append(text(LEFT - 6, up(y) + 4, f"{y:g}", 'text-anchor="end"'))
    step = next(size for power in range(-6, 12) for size in (10.0 ** power, 2 * 10.0 ** power, 5 * 10.0 ** power)
                if x_high - x_low <= 8 * size)
    for i in range(math.ceil(x_low / step - 1e-9), math.floor(x_high / step + 1e-9) + 1):
        x = i * step
        out.append(text(across(x), HEIGHT - BOTTOM + 18, f"{x:g}", 'text-anchor="middle"'))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, 'text-anchor="middle"'))
    out.append(text(LEFT, TOP - 2, y_label, 'fill="#555"'))
    for i, (name, line) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in sorted(line))
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in line:
            out.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}">'
                       f"<title>{html.escape(name)}, {x:g}: {y:.4g}</title></circle>")
        out.append(text(WIDTH - RIGHT + 12, TOP + 18 * (i + 1), name, f'fill="{colour}"'))
    return "\n".join(out + ["</svg>", ""])
