//===- Plot.cpp - A small chart as SVG ------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Plot.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace mlir::cq;

std::string mlir::cq::escapeHTML(llvm::StringRef text) {
  std::string result;
  for (char c : text)
    switch (c) {
    case '&':
      result += "&amp;";
      break;
    case '<':
      result += "&lt;";
      break;
    case '>':
      result += "&gt;";
      break;
    case '"':
      result += "&quot;";
      break;
    default:
      result += c;
    }
  return result;
}

std::string mlir::cq::formatNumber(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.4g", value);
  std::string text = buffer;
  size_t e = text.find('e');
  if (e == std::string::npos)
    return text;
  size_t digits = text.find_first_not_of("+-0", e + 1);
  return text.substr(0, e + 1) + (text[e + 1] == '-' ? "-" : "") +
         text.substr(digits);
}

static std::vector<double> linearTicks(double low, double high) {
  double step = std::pow(10, std::floor(std::log10((high - low) / 3)));
  // 1, 2 or 5 times a power of ten, and at most six marks.
  for (double factor : {2.0, 2.5, 2.0, 2.0}) {
    if ((high - low) / step <= 5)
      break;
    step *= factor;
  }
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step;
       ++i)
    ticks.push_back(i == 0 ? 0 : i * step);
  return ticks;
}

static std::vector<double> logTicks(double low, double high) {
  double decades = std::log10(high / low);
  int stride = std::max(1, int(std::ceil(decades / 6)));
  std::vector<double> ticks;
  for (int power = int(std::floor(std::log10(low)));
       power <= int(std::ceil(std::log10(high))); ++power)
    for (double factor : {1.0, 2.0, 5.0}) {
      double value = factor * std::pow(10, power);
      if ((factor > 1 && decades > 2) || (power % stride != 0 && factor == 1) ||
          value < low * (1 - 1e-9) || value > high * (1 + 1e-9))
        continue;
      ticks.push_back(value);
    }
  // Within a small part of a decade, linear marks say more.
  return ticks.size() >= 2 ? ticks : linearTicks(low, high);
}

std::vector<double> mlir::cq::axisTicks(double low, double high,
                                        bool logarithmic) {
  if (!(high > low))
    return {low};
  return logarithmic ? logTicks(low, high) : linearTicks(low, high);
}

void Plot::series(llvm::StringRef colour, std::vector<Point> points) {
  layers.push_back({colour.str(), std::move(points), true});
}

void Plot::cloud(llvm::StringRef colour, std::vector<Point> points) {
  layers.push_back({colour.str(), std::move(points), false});
}

void Plot::rule(double y, llvm::StringRef label) {
  rules.emplace_back(y, label.str());
  include(y);
}

bool Plot::drawable(const Point &point) const {
  return std::isfinite(point.x) && std::isfinite(point.y) &&
         (!logarithmic || point.y > 0);
}

bool Plot::empty() const {
  return llvm::none_of(layers, [&](const Layer &layer) {
    return llvm::any_of(layer.points,
                        [&](const Point &p) { return drawable(p); });
  });
}

/// Where data lie on the panel.
struct Plot::Frame {
  static constexpr double width = 360, height = 250;
  double left = 44, right = width - 12, top = 46, bottom = height - 38;
  double xLow = 0, xHigh = 1, yLow = 0, yHigh = 1;
  bool logarithmic = false;

  double x(double value) const {
    return left + (value - xLow) / (xHigh - xLow) * (right - left);
  }
  double y(double value) const {
    double share = logarithmic ? std::log(value / yLow) / std::log(yHigh / yLow)
                               : (value - yLow) / (yHigh - yLow);
    return bottom - share * (bottom - top);
  }
};

Plot::Frame Plot::frame() const {
  Frame frame;
  frame.logarithmic = logarithmic;
  double xLow = INFINITY, xHigh = -INFINITY, yLow = INFINITY, yHigh = -INFINITY;
  for (const Layer &layer : layers)
    for (const Point &point : layer.points)
      if (drawable(point)) {
        xLow = std::min(xLow, point.x);
        xHigh = std::max(xHigh, point.x);
        yLow = std::min(yLow, point.y);
        yHigh = std::max(yHigh, point.y);
      }
  for (double y : wanted)
    if (drawable({0, y, ""})) {
      yLow = std::min(yLow, y);
      yHigh = std::max(yHigh, y);
    }
  if (xHigh == xLow)
    xLow -= 0.5, xHigh += 0.5;
  double pad = 0.02 * (xHigh - xLow);
  frame.xLow = xLow - pad;
  frame.xHigh = xHigh + pad;
  // A little air, so that marks do not sit on the frame.
  if (logarithmic) {
    double air = std::max(std::pow(yHigh / yLow, 0.04), 1.05);
    frame.yLow = yLow / air;
    frame.yHigh = yHigh * air;
  } else {
    double air = yHigh > yLow ? 0.05 * (yHigh - yLow)
                              : std::max(0.5 * std::fabs(yHigh), 1e-3);
    // Shares and bits begin at 0 where that is near.
    bool fromZero = yLow >= 0 && yLow < 0.5 * yHigh;
    frame.yLow = fromZero ? 0 : yLow - air;
    frame.yHigh = yHigh + air;
  }
  size_t longest = 0;
  for (double tick : axisTicks(frame.yLow, frame.yHigh, logarithmic))
    longest = std::max(longest, formatNumber(tick).size());
  frame.left = 14 + 6.4 * double(longest);
  return frame;
}

/// A coordinate with one digit after the point.
static std::string coordinate(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.1f", value);
  llvm::StringRef text = buffer;
  text.consume_back(".0");
  return text.str();
}

std::string Plot::svg() const {
  Frame f = frame();
  std::string out;
  llvm::raw_string_ostream os(out);
  auto at = [](double value) { return coordinate(value); };
  auto text = [&](double x, double y, llvm::StringRef attributes,
                  llvm::StringRef words) {
    os << "<text x=\"" << at(x) << "\" y=\"" << at(y) << "\" " << attributes
       << '>' << escapeHTML(words) << "</text>";
  };
  os << "<svg viewBox=\"0 0 " << at(f.width) << ' ' << at(f.height)
     << "\" role=\"img\" aria-label=\"" << escapeHTML(title) << "\">";
  text(2, 14, "class=\"t\"", title);
  text(2, 32, "class=\"m\"", yLabel);
  for (double tick : axisTicks(f.yLow, f.yHigh, logarithmic)) {
    os << "<path class=\"g\" d=\"M" << at(f.left) << ' ' << at(f.y(tick)) << 'H'
       << at(f.right) << "\"/>";
    text(f.left - 6, f.y(tick) + 4, "text-anchor=\"end\"", formatNumber(tick));
  }
  for (double tick : axisTicks(std::max(f.xLow, 0.0), f.xHigh, false)) {
    os << "<path class=\"g\" d=\"M" << at(f.x(tick)) << ' ' << at(f.bottom)
       << "v4\"/>";
    text(f.x(tick), f.bottom + 17, "text-anchor=\"middle\"",
         formatNumber(tick));
  }
  os << "<path class=\"a\" d=\"M" << at(f.left) << ' ' << at(f.bottom) << 'H'
     << at(f.right) << "\"/>";
  text((f.left + f.right) / 2, f.height - 5,
       "class=\"m\" text-anchor=\"middle\"", xLabel);
  for (const auto &[y, label] : rules) {
    if (!drawable({0, y, ""}))
      continue;
    os << "<path class=\"r\" d=\"M" << at(f.left) << ' ' << at(f.y(y)) << 'H'
       << at(f.right) << "\"/>";
    text(f.right, f.y(y) - 4, "class=\"m h\" text-anchor=\"end\"", label);
  }
  for (const Layer &layer : layers) {
    std::vector<Point> points;
    llvm::copy_if(layer.points, std::back_inserter(points),
                  [&](const Point &point) { return drawable(point); });
    if (points.empty())
      continue;
    os << "<path class=\"" << layer.colour << (layer.joined ? " l" : " d")
       << "\" d=\"";
    for (auto [i, point] : llvm::enumerate(points)) {
      os << (layer.joined && i > 0 ? 'L' : 'M') << at(f.x(point.x)) << ' '
         << at(f.y(point.y));
      if (!layer.joined)
        os << "h0";
    }
    os << "\"/>";
    if (layer.joined)
      for (const Point &point : points)
        os << "<circle class=\"" << layer.colour << "\" cx=\""
           << at(f.x(point.x)) << "\" cy=\"" << at(f.y(point.y))
           << "\" r=\"2.6\"><title>" << escapeHTML(point.tip)
           << "</title></circle>";
  }
  os << "</svg>\n";
  return out;
}
