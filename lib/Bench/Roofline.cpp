//===- Roofline.cpp - Results under what the machine allows ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../Report/Plot.h"
#include "cq/Bench/ProductBench.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <map>

using namespace mlir::cq;

// Rules for a class of lines name the element: those of colours would fill
// them.
static const char style[] =
    "<style>svg{font:12px sans-serif;background:#fff}"
    ".blue{stroke:#26c;fill:#26c}.red{stroke:#c33;fill:#c33}"
    ".green{stroke:#283;fill:#283}.orange{stroke:#d80;fill:#d80}"
    ".grey{stroke:#888;fill:#888}path.l{fill:none;stroke-width:1.5}"
    "path.g{stroke:#ddd}path.a{stroke:#999}"
    "path.r{stroke:#888;stroke-dasharray:4 3}"
    "text.t{font-weight:bold}text[class]{stroke:none}</style>";

std::string mlir::cq::plotRoofline(const std::vector<ProductResult> &results,
                                   int threads) {
  Plot plot("Products from memory, " + std::to_string(threads) +
                (threads == 1 ? " thread" : " threads"),
            "tokens M, log2", "GMAC/s", /*logarithmic=*/true);
  // The roof of the narrowest weight: bytes up to the multipliers' peak.
  std::map<std::string, std::vector<Plot::Point>> lines, roofs;
  double peak = 0;
  for (const ProductResult &r : results) {
    if (!r.rotating || r.threads != threads)
      continue;
    std::string name = std::to_string(r.n) + " x " + std::to_string(r.k) + " " +
                       r.scheme.str();
    double x = std::log2(static_cast<double>(r.tokens));
    lines[name].push_back(
        {x, r.macsPerSecond() * 1e-9,
         name + ", M = " + std::to_string(r.tokens) + ": " +
             formatNumber(r.macsPerSecond() * 1e-9) + " GMAC/s, " +
             formatNumber(100 * r.shareOfLimit()) + " % of the limit"});
    double bytes = r.readBandwidth / r.weightBytes * r.n * r.k * r.tokens;
    roofs[name].push_back({x, std::min(bytes, r.multipliers) * 1e-9, "limit"});
    peak = std::max(peak, r.multipliers);
  }
  static const char *colours[] = {"blue", "red", "green", "orange"};
  size_t next = 0;
  std::string legend;
  for (auto &[name, points] : lines) {
    const char *colour = colours[next++ % 4];
    plot.series("grey", roofs[name]);
    plot.series(colour, points);
    legend += llvm::formatv("<text class=\"{0}\" x=\"344\" y=\"{1}\" "
                            "text-anchor=\"end\">{2}</text>",
                            colour, 206 - 14 * (lines.size() - next),
                            escapeHTML(name));
  }
  if (plot.empty())
    return "";
  plot.rule(peak * 1e-9, "multipliers");
  std::string svg = plot.svg();
  // Alone in a file it needs a namespace and the page's colours.
  if (size_t at = svg.find("<svg"); at != std::string::npos) {
    if (svg.find("xmlns") == std::string::npos)
      svg.insert(at + 4, " xmlns=\"http://www.w3.org/2000/svg\"");
    svg.insert(svg.find('>', at) + 1, style);
    svg.insert(svg.rfind("</svg>"), legend);
  }
  return svg;
}
