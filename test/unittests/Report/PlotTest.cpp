//===- PlotTest.cpp - Axes and marks --------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Plot.h"
#include "Html.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir::cq;

TEST(Plot, LinearTicksAreRound) {
  EXPECT_EQ(axisTicks(0, 10, false), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axisTicks(-1, -0.5, false).size(), 6u);
  EXPECT_EQ(axisTicks(3, 3, false), std::vector<double>{3});
  for (double high : {1e-9, 0.3, 1.0, 7.7, 29.0, 49152.0, 1e12}) {
    size_t count = axisTicks(0, high, false).size();
    EXPECT_GE(count, 3u) << high;
    EXPECT_LE(count, 6u) << high;
  }
}

TEST(Plot, LogTicksAreDecadesOrParts) {
  EXPECT_EQ(axisTicks(1, 10, true), (std::vector<double>{1, 2, 5, 10}));
  EXPECT_EQ(axisTicks(0.5, 2000, true),
            (std::vector<double>{1, 10, 100, 1000}));
  EXPECT_LE(axisTicks(1e-20, 1, true).size(), 8u);
  EXPECT_GE(axisTicks(1.1, 1.4, true).size(), 2u);
}

TEST(Plot, NumbersAreShort) {
  EXPECT_EQ(formatNumber(0.1), "0.1");
  EXPECT_EQ(formatNumber(3e-7), "3e-7");
  EXPECT_EQ(formatNumber(1.5e12), "1.5e12");
  EXPECT_EQ(formatNumber(1234), "1234");
  EXPECT_EQ(formatNumber(0), "0");
}

TEST(Plot, DrawsWhatCanBeDrawn) {
  Plot plot("a < b", "x", "y", true);
  EXPECT_TRUE(plot.empty());
  plot.series("c0", {{0, 0, ""}, {1, NAN, ""}, {2, INFINITY, ""}});
  EXPECT_TRUE(plot.empty()); // nothing above 0 on a log axis
  plot.series("c1", {{0, 1, "tip \"1\""}, {1, 0, ""}, {2, 100, ""}});
  EXPECT_FALSE(plot.empty());
  std::string svg = plot.svg();
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_NE(svg.find("tip &quot;1&quot;"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(svg.find("class=\"c0\""), std::string::npos);
}

TEST(Plot, OneValueIsEnough) {
  for (bool logarithmic : {false, true})
    for (double y : {5.0, 1e-30, 1e30}) {
      Plot plot("t", "x", "y", logarithmic);
      plot.series("c0", {{3, y, ""}});
      std::string svg = plot.svg();
      EXPECT_EQ(svg.find("nan"), std::string::npos);
      EXPECT_EQ(svg.find("inf"), std::string::npos);
    }
}

TEST(Table, SortsByValuesAndEscapes) {
  Table table({"<name>", "value"});
  table.beginRow();
  table.text("<b>");
  table.number(INFINITY);
  table.beginRow();
  table.text("x");
  table.number(std::nullopt);
  std::string html = table.str();
  EXPECT_NE(html.find("&lt;name&gt;"), std::string::npos);
  EXPECT_NE(html.find("&lt;b&gt;"), std::string::npos);
  EXPECT_NE(html.find("data-v=\"Infinity\""), std::string::npos);
  EXPECT_NE(html.find("data-v=\"NaN\""), std::string::npos);
}
