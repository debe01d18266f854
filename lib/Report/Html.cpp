//===- Html.cpp - Style, script and tables of the page --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Html.h"
#include "Plot.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;

// Colours of series are those of Okabe and Ito, which colour-blind readers tell
// apart; a few are lightened for dark pages.
static const char style[] = R"css(
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--muted:#5b6570;--grid:#e3e7eb;--card:#f6f8fa;--head:#eef1f4;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b8558f;--c4:#c98a00;--c5:#4a9fd8;--c6:#6b6ecf;--c7:#7a5a3a;--rest:#9aa4ae;--cherry:#d0212f}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e4e8ec;--muted:#9aa5b0;--grid:#2c3238;--card:#1c2024;--head:#252a30;
--c0:#4aa8e0;--c1:#f08a4b;--c2:#2fc79a;--c3:#e08fbf;--c4:#e6b13c;--c5:#9ad0f5;--c6:#a5a8f5;--c7:#c79f78;--rest:#67727d;--cherry:#ff6b74}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:16px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2em 0 .6em;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2em 0 .3em}
p{margin:.3em 0 .8em;max-width:75ch;color:var(--muted)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:2px 24px;margin:0}
dl div{display:flex;gap:8px;border-bottom:1px solid var(--grid);padding:3px 0}
dt{color:var(--muted);flex:0 0 8.5em}dd{margin:0;overflow-wrap:anywhere;min-width:0}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:12px}
.charts>figure{margin:0;background:var(--card);border-radius:8px;padding:10px}
svg{display:block;width:100%;max-width:560px;height:auto;margin:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--fg)}svg .t{font-size:13px;font-weight:600}svg .m{fill:var(--muted)}
.g{stroke:var(--grid)}.a{stroke:var(--muted)}.r{stroke:var(--muted);stroke-dasharray:4 4}
svg .h{paint-order:stroke;stroke:var(--card);stroke-width:4px}
.c0{fill:var(--c0);stroke:var(--c0)}.c1{fill:var(--c1);stroke:var(--c1)}.c2{fill:var(--c2);stroke:var(--c2)}.c3{fill:var(--c3);stroke:var(--c3)}
.c4{fill:var(--c4);stroke:var(--c4)}.c5{fill:var(--c5);stroke:var(--c5)}.c6{fill:var(--c6);stroke:var(--c6)}.c7{fill:var(--c7);stroke:var(--c7)}
.rest{stroke:var(--rest);opacity:.6}.cherry{stroke:var(--cherry)}circle{stroke-width:0}
path.l{fill:none;stroke-width:1;opacity:.45}path.d{fill:none;stroke-width:2.6;stroke-linecap:round}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:.4em 0 .8em;padding:0;list-style:none;font-size:.88rem}
.legend i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}
.table{overflow:auto;max-height:min(70vh,460px);border:1px solid var(--grid);border-radius:8px;margin-top:12px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.85rem;white-space:nowrap}
th{position:sticky;top:0;background:var(--head);text-align:left;padding:0;z-index:1}
th button{all:unset;cursor:pointer;padding:7px 10px;display:block;width:100%;box-sizing:border-box;font-weight:600}
th button:focus-visible{outline:2px solid var(--c0);outline-offset:-2px}
th.n button{text-align:right}th[aria-sort=ascending] button::after{content:" \25b2"}th[aria-sort=descending] button::after{content:" \25bc"}
td{padding:4px 10px;border-top:1px solid var(--grid)}td.n{text-align:right;font-variant-numeric:tabular-nums}
td.w{white-space:normal;min-width:16em}td details td{padding:1px 10px 1px 0;border:0}td details table{width:auto}
summary{cursor:pointer}
)css";

static const char script[] = R"js(
for(const head of document.querySelectorAll('th'))head.firstChild.onclick=()=>{
  const row=head.parentNode,body=row.parentNode.nextElementSibling,column=[...row.children].indexOf(head);
  const down=head.ariaSort=='ascending';
  for(const other of row.children)other.removeAttribute('aria-sort');
  head.ariaSort=down?'descending':'ascending';
  const key=r=>{const c=r.children[column];return 'v' in c.dataset?+c.dataset.v:c.textContent};
  const compare=(a,b)=>{const x=key(a),y=key(b);
    if(typeof x!='number')return (down?-1:1)*x.localeCompare(y,undefined,{numeric:true});
    return isNaN(x)?(isNaN(y)?0:1):isNaN(y)?-1:down?y-x:x-y};
  body.append(...[...body.children].sort(compare));
};
)js";

std::string mlir::cq::pageBegin(llvm::StringRef title) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, "
         "initial-scale=1\">\n<title>" +
         escapeHTML(title) + "</title>\n<style>" + style +
         "</style></head>\n<body>\n<h1>" + escapeHTML(title) + "</h1>\n";
}

std::string mlir::cq::pageEnd() {
  return std::string("<script>") + script + "</script>\n</body></html>\n";
}

void Table::text(llvm::StringRef words) {
  rows.back().push_back({escapeHTML(words), "", false});
}

void Table::html(std::string cell) {
  rows.back().push_back({std::move(cell), "", false});
}

void Table::number(std::optional<double> value, llvm::StringRef unit) {
  if (!value)
    return rows.back().push_back({"\u2013", "NaN", true});
  std::string shown =
      std::isfinite(*value) ? formatNumber(*value) + unit.str() : "\u221e";
  std::string key = std::isfinite(*value) ? formatNumber(*value) : "Infinity";
  rows.back().push_back({shown, key, true});
}

void Table::integer(int64_t value) {
  rows.back().push_back(
      {llvm::formatv("{0:n}", value).str(), std::to_string(value), true});
}

std::string Table::str() const {
  std::string out;
  llvm::raw_string_ostream os(out);
  os << "<div class=\"table\"><table><thead><tr>";
  for (auto [i, head] : llvm::enumerate(heads))
    os << (!rows.empty() && rows.front()[i].numeric ? "<th class=\"n\">"
                                                    : "<th>")
       << "<button type=\"button\">" << escapeHTML(head) << "</button></th>";
  os << "</tr></thead><tbody>\n";
  for (const std::vector<Cell> &row : rows) {
    os << "<tr>";
    for (const Cell &cell : row)
      if (cell.numeric)
        os << "<td class=\"n\" data-v=\"" << cell.key << "\">" << cell.html
           << "</td>";
      else
        os << "<td" << (cell.html.size() > 60 ? " class=\"w\"" : "") << '>'
           << cell.html << "</td>";
    os << "</tr>\n";
  }
  os << "</tbody></table></div>\n";
  return out;
}
