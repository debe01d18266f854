//===- Page.cpp - The page ------------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Html.h"
#include "Plot.h"
#include "cq/Report/Report.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <tuple>
#include <utility>

using namespace mlir::cq;
using llvm::StringRef;

using Value = llvm::function_ref<std::optional<double>(const MatrixReport &)>;

/// Colour classes there are.
static constexpr unsigned colours = 8;

static std::string colourOf(unsigned index) {
  return "c" + std::to_string(index % colours);
}

/// Roles within blocks, in the order of their first appearance.
static std::vector<std::string> rolesOf(const Report &report) {
  std::vector<std::string> roles;
  for (const MatrixReport &matrix : report.matrices)
    if (matrix.block && !llvm::is_contained(roles, matrix.role))
      roles.push_back(matrix.role);
  return roles;
}

static std::string legend(llvm::ArrayRef<std::string> names) {
  std::string out = "<ul class=\"legend\">";
  for (auto [i, name] : llvm::enumerate(names))
    out += "<li><i style=\"background:var(--" + colourOf(i) + ")\"></i>" +
           escapeHTML(name) + "</li>";
  return out + "</ul>\n";
}

static std::string section(StringRef title, StringRef words) {
  return "<h2>" + escapeHTML(title) + "</h2>\n<p>" + escapeHTML(words) +
         "</p>\n";
}

static std::string figures(llvm::ArrayRef<Plot> plots) {
  std::string out;
  for (const Plot &plot : plots)
    if (!plot.empty())
      out += "<figure>" + plot.svg() + "</figure>\n";
  return out.empty() ? out : "<div class=\"charts\">\n" + out + "</div>\n";
}

/// One line a role over the blocks.
static void addRoles(Plot &plot, const Report &report, Value value) {
  for (auto [i, role] : llvm::enumerate(rolesOf(report))) {
    std::vector<Plot::Point> points;
    for (const MatrixReport &matrix : report.matrices)
      if (matrix.block && matrix.role == role)
        if (std::optional<double> y = value(matrix))
          points.push_back({double(*matrix.block), *y,
                            matrix.weight + ": " + formatNumber(*y)});
    llvm::sort(points, [](const auto &a, const auto &b) {
      return std::tie(a.x, a.tip) < std::tie(b.x, b.tip);
    });
    plot.series(colourOf(i), std::move(points));
  }
}

static bool any(const Report &report, Value value) {
  return llvm::any_of(report.matrices, [&](const MatrixReport &matrix) {
    return value(matrix).has_value();
  });
}

static std::string shapeOf(const MatrixReport &matrix) {
  return llvm::formatv("{0} \u00d7 {1}", matrix.n, matrix.k);
}

static std::string header(const Report &report) {
  std::string out = "<dl>\n";
  for (const auto &[name, value] : report.facts)
    out += "<div><dt>" + escapeHTML(name) + "</dt><dd>" + escapeHTML(value) +
           "</dd></div>\n";
  return out + "</dl>\n";
}

static std::string heterogeneity(const Report &report) {
  auto impact = [](const MatrixReport &m) { return m.impact; };
  auto activation = [](const MatrixReport &m) { return m.activation; };
  auto magnitude = [](const MatrixReport &m) { return m.magnitude; };
  if (!any(report, impact) && !any(report, activation) &&
      !any(report, magnitude))
    return "";
  std::vector<Plot> plots;
  StringRef y = "HScore, higher is more uneven (log)";
  auto add = [&](StringRef title, Value value) {
    plots.emplace_back(title.str(), "transformer block", y.str(), true);
    addRoles(plots.back(), report, value);
    plots.back().rule(1, "even");
  };
  add("By impact (Fisher diagonal)", impact);
  add("By activation (|w| \u00b7 \u221aE[x\u00b2])", activation);
  add("By magnitude (|w|)", magnitude);
  Table table({"weight", "shape", "impact", "activation", "magnitude"});
  for (const MatrixReport &matrix : report.matrices) {
    if (!matrix.impact && !matrix.activation && !matrix.magnitude)
      continue;
    table.beginRow();
    table.text(matrix.weight);
    table.text(shapeOf(matrix));
    table.number(matrix.impact);
    table.number(matrix.activation);
    table.number(matrix.magnitude);
  }
  return section("Heterogeneity of matrices",
                 "HScore: mean of the top 1 % of a matrix's scores over the "
                 "largest of the other 99 %. High means that few weights carry "
                 "most of it and are worth keeping precise.") +
         legend(rolesOf(report)) + figures(plots) + table.str();
}

static std::string scatter(const Report &report) {
  if (!report.scatter)
    return "";
  const ScatterReport &sample = *report.scatter;
  std::vector<Plot> plots;
  auto add = [&](StringRef title, StringRef y,
                 float ScatterReport::Point::*member) {
    Plot plot(title.str(), "input column", y.str(), true);
    std::vector<Plot::Point> rest, cherries;
    for (const ScatterReport::Point &point : sample.points)
      (point.cherry ? cherries : rest)
          .push_back({double(point.column), point.*member, ""});
    plot.cloud("rest", std::move(rest));
    plot.cloud("cherry", std::move(cherries));
    plots.push_back(std::move(plot));
  };
  add("Impact", "E[g\u00b2] (log)", &ScatterReport::Point::impact);
  if (sample.hasActivation)
    add("Activation", "|w| \u00b7 \u221aE[x\u00b2] (log)",
        &ScatterReport::Point::activation);
  add("Magnitude", "|w| (log)", &ScatterReport::Point::magnitude);
  return section(
             "Weights of " + sample.weight,
             llvm::formatv("A sample of its {0} \u00d7 {1} weights. Cherries "
                           "are the top 1/256 by impact; the same weights are "
                           "marked in all panels.",
                           sample.n, sample.k)
                 .str()) +
         "<ul class=\"legend\"><li><i style=\"background:var(--cherry)\"></i>"
         "cherry</li><li><i style=\"background:var(--rest)\"></i>other "
         "weight</li></ul>\n" +
         figures(plots);
}

static std::string bitsAndErrors(const Report &report) {
  auto bits = [](const MatrixReport &m) { return m.bits; };
  auto error = [](const MatrixReport &m) { return m.error; };
  if (!any(report, bits))
    return "";
  std::vector<Plot> plots;
  plots.emplace_back("Bits per weight", "transformer block",
                     "bits, everything counted");
  addRoles(plots.back(), report, bits);
  plots.back().include(0);
  plots.emplace_back("Relative error", "transformer block",
                     report.weightedError
                         ? "\u03a3 E[x\u00b2] (w \u2212 \u0175)\u00b2 / \u03a3 "
                           "E[x\u00b2] w\u00b2 (log)"
                         : "\u03a3 (w \u2212 \u0175)\u00b2 / \u03a3 w\u00b2 "
                           "(log)",
                     true);
  addRoles(plots.back(), report, error);
  return section("Bits and error of each layer",
                 report.weightedError
                     ? "Error of the stored weights, weighted by the second "
                       "moment of each input column where it was measured."
                     : "Error of the stored weights, unweighted: there are no "
                       "statistics.") +
         legend(rolesOf(report)) + figures(plots);
}

/// What kinds of loss mean, for people who see only the page.
static StringRef meaningOf(StringRef loss) {
  for (auto [name, meaning] :
       {std::pair<StringRef, StringRef>("weight", "relative error of weights"),
        {"output", "relative error of layers' outputs"},
        {"fisher", "expected growth of a sequence's loss"},
        {"divergence", "KL divergence, one weight at a time"},
        {"predictions", "KL divergence, interactions included"},
        {"block", "relative change of blocks' outputs"},
        {"block-fisher", "expected growth of a sequence's loss, by block"}})
    if (loss == name)
      return meaning;
  return loss;
}

/// How bits were bought, in words and as a curve.
static std::string budget(const Report &report) {
  if (!report.curve)
    return "";
  const CurveReport &curve = *report.curve;
  auto points = [](llvm::ArrayRef<std::pair<double, double>> list,
                   StringRef what) {
    std::vector<Plot::Point> result;
    for (auto [bits, value] : list)
      result.push_back({bits, value,
                        formatNumber(bits) + " bits per weight: " + what.str() +
                            " " + formatNumber(value)});
    return result;
  };
  std::vector<Plot> plots;
  plots.emplace_back("Least predicted loss", "bits per weight",
                     meaningOf(curve.loss).str() + " (log)", true);
  plots.back().series("c0", points(curve.predicted, "loss"));
  plots.back().series("c1", points(curve.chosen, "this plan, loss"));
  plots.back().rule(curve.chosen.second, "this plan");
  if (!curve.measured.empty()) {
    plots.emplace_back("Measured KL divergence", "bits per weight",
                       "nats per prediction (log)", true);
    std::vector<std::pair<double, double>> sorted = curve.measured;
    llvm::sort(sorted);
    plots.back().series("c2", points(sorted, "KL divergence"));
  }
  // The layers to which the budget gave most and least.
  const MatrixReport *most = nullptr, *least = nullptr;
  for (const MatrixReport &matrix : report.matrices) {
    if (!matrix.bits || !matrix.decision.get("candidates"))
      continue;
    if (!most || *matrix.bits > *most->bits)
      most = &matrix;
    if (!least || *matrix.bits < *least->bits)
      least = &matrix;
  }
  std::string words =
      "Every layer could have been stored in several ways. Each way has a "
      "price in bytes and a loss that was measured on text; the plan is the "
      "set of choices with the least total loss that fits the budget. A layer "
      "gets a wider choice exactly when it saves more loss a byte than the "
      "same bytes would save elsewhere (" +
      formatNumber(curve.price) +
      " a byte at this budget). \u201cWhy\u201d in the table of decisions "
      "says it for each layer, with all its candidates.";
  if (most && least && *most->bits > *least->bits)
    words += " Most bits: " + most->weight + ", " + formatNumber(*most->bits) +
             "; fewest: " + least->weight + ", " + formatNumber(*least->bits) +
             ".";
  return section("What the budget buys", words) +
         legend({"least loss of any plan", "this plan", "measured"}) +
         figures(plots);
}

static std::string blocks(const Report &report) {
  if (report.blocks.empty())
    return "";
  auto points = [&](std::optional<double> BlockReport::*member) {
    std::vector<Plot::Point> result;
    for (const BlockReport &block : report.blocks)
      if (block.*member)
        result.push_back({double(block.block), *(block.*member),
                          "block " + std::to_string(block.block) + ": " +
                              formatNumber(*(block.*member))});
    return result;
  };
  std::vector<Plot> plots;
  plots.emplace_back("LIM", "transformer block",
                     "\u2212cos(in, out), larger is more important");
  plots.back().series("c0", points(&BlockReport::limToken));
  plots.back().series("c1", points(&BlockReport::limFlat));
  plots.emplace_back("ZD", "transformer block",
                     "share of weights with z > 1, smaller is more important");
  plots.back().series("c2", points(&BlockReport::zd));
  Table table({"block", "LIM token", "LIM flat", "ZD"});
  for (const BlockReport &block : report.blocks) {
    table.beginRow();
    table.integer(block.block);
    table.number(block.limToken);
    table.number(block.limFlat);
    table.number(block.zd);
  }
  return section("Blocks",
                 "Layer input modification (LIM) and z-score distribution "
                 "(ZD), for comparison: the allocator goes by measured "
                 "error.") +
         legend(
             {"LIM, mean over tokens", "LIM, all tokens as one vector", "ZD"}) +
         figures(plots) + table.str();
}

static std::string overlaps(const Report &report) {
  auto value = [](const MatrixReport &m) { return m.overlap; };
  if (!any(report, value))
    return "";
  Plot plot("Overlap of the top 1/256", "transformer block",
            "share in both (chance: 0.004)");
  addRoles(plot, report, value);
  plot.include(0);
  plot.include(1);
  Table table({"weight", "overlap"});
  double sum = 0, count = 0;
  for (const MatrixReport &matrix : report.matrices) {
    if (!matrix.overlap)
      continue;
    table.beginRow();
    table.text(matrix.weight);
    table.number(matrix.overlap);
    sum += *matrix.overlap;
    ++count;
  }
  return section("Do two calibrations agree?",
                 "Share of the cherries by impact of statistics A that are "
                 "cherries by statistics B too; mean " +
                     formatNumber(sum / count) + ".") +
         legend(rolesOf(report)) + figures(plot) + table.str();
}

/// A JSON value as people read it.
static std::string shownValue(const llvm::json::Value &value) {
  if (std::optional<int64_t> integer = value.getAsInteger())
    return llvm::formatv("{0:n}", *integer).str();
  if (std::optional<double> number = value.getAsNumber())
    return formatNumber(*number);
  if (std::optional<StringRef> text = value.getAsString())
    return escapeHTML(*text);
  return escapeHTML(llvm::formatv("{0}", value).str());
}

/// An array of objects as a table under their keys, e.g. a plan's candidates;
/// empty where it is none.
static std::string objectTable(const llvm::json::Value &value) {
  const llvm::json::Array *items = value.getAsArray();
  const llvm::json::Object *first =
      items && !items->empty() ? items->front().getAsObject() : nullptr;
  if (!first)
    return "";
  std::vector<std::string> keys;
  std::string out = "<table><tbody><tr>";
  for (const auto &[key, ignored] : *first)
    keys.push_back(key.str());
  llvm::sort(keys, [](const auto &a, const auto &b) {
    return std::pair(a != "choice", a) < std::pair(b != "choice", b);
  });
  for (const std::string &key : keys)
    out += "<td>" + escapeHTML(key) + "</td>";
  for (const llvm::json::Value &item : *items) {
    out += "</tr><tr>";
    for (const std::string &key : keys) {
      const llvm::json::Object *object = item.getAsObject();
      const llvm::json::Value *field = object ? object->get(key) : nullptr;
      out += "<td>" + (field ? shownValue(*field) : "") + "</td>";
    }
  }
  return out + "</tr></tbody></table>";
}

/// Why, and what else the plan says of a weight behind it.
static std::string decisionOf(const MatrixReport &matrix) {
  std::string why = escapeHTML(matrix.reason), details;
  for (const auto &[key, value] : matrix.decision) {
    std::string table = objectTable(value);
    details += "<div>" + escapeHTML(key) + ": " +
               (table.empty() ? shownValue(value) : table) + "</div>";
  }
  if (details.empty())
    return why;
  return "<details><summary>" + why + "</summary>" + details + "</details>";
}

static std::string plan(const Report &report) {
  Table table({"weight", "shape", "scheme", "quantizer", "cherries",
               "bits/weight", "bytes", "relative error", "why"});
  bool some = false;
  for (const MatrixReport &matrix : report.matrices) {
    if (!matrix.planned)
      continue;
    some = true;
    table.beginRow();
    table.text(matrix.weight);
    table.text(shapeOf(matrix));
    table.text(matrix.kept ? "kept" : matrix.scheme);
    table.text(matrix.quantizer);
    table.text(matrix.cherries);
    table.number(matrix.bits);
    table.integer(matrix.bytes);
    table.number(matrix.error);
    table.html(decisionOf(matrix));
  }
  if (!some)
    return "";
  return section("Decisions", "What the plan does with each weight, and why. "
                              "A click on a column's head sorts.") +
         table.str();
}

std::string mlir::cq::renderReport(const Report &report) {
  return pageBegin(report.title) + header(report) + heterogeneity(report) +
         scatter(report) + budget(report) + bitsAndErrors(report) +
         blocks(report) + overlaps(report) + plan(report) + pageEnd();
}
