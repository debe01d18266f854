//===- Plot.h - A small chart as SVG ----------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_REPORT_PLOT_H
#define CQ_LIB_REPORT_PLOT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir::cq {

/// Escapes text for HTML and attributes.
std::string escapeHTML(llvm::StringRef text);

/// Four significant digits, without padding in the exponent: 0.0125, 3e-7.
std::string formatNumber(double value);

/// Positions of axis marks within [low, high] and nothing but those.
std::vector<double> axisTicks(double low, double high, bool logarithmic);

/// One panel, about as wide as a phone's screen, so that text keeps its size:
/// a page puts several beside each other. Colours are CSS classes.
class Plot {
public:
  struct Point {
    double x, y;
    std::string tip; ///< shown by pointing at a mark
  };

  Plot(std::string title, std::string xLabel, std::string yLabel,
       bool logarithmic = false)
      : title(std::move(title)), xLabel(std::move(xLabel)),
        yLabel(std::move(yLabel)), logarithmic(logarithmic) {}

  /// Marks joined by a thin line in order of x.
  void series(llvm::StringRef colour, std::vector<Point> points);
  /// Many small marks without tips, as one path.
  void cloud(llvm::StringRef colour, std::vector<Point> points);
  /// A dashed horizontal line.
  void rule(double y, llvm::StringRef label);
  /// Keeps y in sight.
  void include(double y) { wanted.push_back(y); }

  /// Nothing is left to draw: no value, or none above 0 on a log axis.
  bool empty() const;
  std::string svg() const;

private:
  struct Layer {
    std::string colour;
    std::vector<Point> points;
    bool joined;
  };
  struct Frame;
  bool drawable(const Point &point) const;
  Frame frame() const;

  std::string title, xLabel, yLabel;
  bool logarithmic;
  std::vector<Layer> layers;
  std::vector<std::pair<double, std::string>> rules;
  std::vector<double> wanted;
};

} // namespace mlir::cq

#endif // CQ_LIB_REPORT_PLOT_H
