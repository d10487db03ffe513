#include "src/observe/class_table.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/utf8.h"
#include "src/observe/chart.h"

namespace finetune {
namespace {

constexpr size_t kMostRows = 1000;

using Labels = std::vector<size_t>;

// Returns the classes `labels` sorted by value(label), lowest first. Classes without a value come
// last.
Labels SortedBy(const Labels& labels, const std::function<std::optional<double>(size_t)>& value) {
  Labels sorted = labels;
  std::stable_sort(sorted.begin(), sorted.end(), [&](size_t a, size_t b) {
    const std::optional<double> x = value(a), y = value(b);
    if (!x.has_value() || !y.has_value()) return x.has_value();
    return *x < *y;
  });
  return sorted;
}

// A column by which the table can be sorted. property: the CSS variable that has a row's position
// in this order. labels: the classes in this order.
struct Order {
  const char* property;
  const char* title;
  Labels labels;
};

std::string Percent(std::optional<double> share) {
  return share.has_value() ? absl::StrFormat("%.1f %%", 100 * *share) : "-";
}

void AppendCell(absl::string_view text, std::string* html) {
  absl::StrAppend(html, "<span role=\"cell\">", text, "</span>");
}

}  // namespace

const char kClassTableStyle[] = R"(
.sorted input { margin: 0 5px 0 0; } .sorted label { margin-right: 16px; font-size: 13.5px; }
.rows { display: flex; flex-direction: column; margin-top: 10px; max-height: 80vh; overflow: auto; }
.row { display: grid; grid-template-columns: minmax(7em, 1fr) minmax(3em, 1fr) repeat(4, 5.2em); gap: 10px;
  align-items: center; font-size: 13.5px; padding: 2px 0; break-inside: avoid; }
.row.short { grid-template-columns: minmax(7em, 1fr) minmax(3em, 1fr) repeat(2, 5.2em); }
.row span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-align: right;
  font-variant-numeric: tabular-nums; }
.row span:first-child { text-align: left; }
.row.head { color: var(--dim); position: sticky; top: 0; background: var(--card); }
.bar { background: var(--back); border-radius: 3px; height: 11px; }
.head .bar { background: none; }
.bar i { display: block; background: var(--c1); border-radius: 3px; height: 100%; }
#by-s:checked ~ .rows .row { order: var(--s); } #by-p:checked ~ .rows .row { order: var(--p); }
#by-r:checked ~ .rows .row { order: var(--r); } #by-f:checked ~ .rows .row { order: var(--f); }
.sorted .rows .row.head { order: -1 !important; }
@media (max-width: 640px) { .row, .row.short { grid-template-columns: minmax(4.5em, 1fr) 3.7em repeat(3, 4.9em); gap: 6px; }
  .row .bar { display: none; } }
@media print { .rows { max-height: none; overflow: visible; } .sorted input, .sorted label { display: none; } }
)";

std::string ClassTable(absl::Span<const ClassResult> classes, bool has_guessed,
                       const std::vector<std::string>& names) {
  Labels labels(classes.size());
  std::iota(labels.begin(), labels.end(), size_t{0});
  const auto recall = [&](size_t label) { return classes[label].Recall(); };
  std::string html;
  if (labels.size() > kMostRows) {
    labels = SortedBy(labels, recall);
    labels.resize(kMostRows);
    std::sort(labels.begin(), labels.end());
    absl::StrAppendFormat(&html,
                          "<p class=\"dim\">the %d classes with the lowest recall, of %d</p>\n",
                          kMostRows, classes.size());
  }
  std::vector<Order> orders = {
      {"c", "class", labels},
      {"s", "images", SortedBy(labels, [&](size_t label) -> std::optional<double> {
         return static_cast<double>(classes[label].support);
       })}};
  if (has_guessed) {
    orders.push_back({"p", "precision",
                      SortedBy(labels, [&](size_t label) { return classes[label].Precision(); })});
  }
  orders.push_back({"r", "recall", SortedBy(labels, recall)});
  if (has_guessed) {
    orders.push_back(
        {"f", "F1", SortedBy(labels, [&](size_t label) { return classes[label].F1(); })});
  }

  absl::StrAppend(&html, "<div class=\"card sorted\"><span class=\"dim\">sort by </span>\n");
  for (const Order& order : orders) {
    absl::StrAppendFormat(&html,
                          "<input type=\"radio\" name=\"order\" id=\"by-%s\"%s><label "
                          "for=\"by-%s\">%s</label>\n",
                          order.property, &order == &orders.front() ? " checked" : "",
                          order.property, order.title);
  }
  const char* row_class = has_guessed ? "row" : "row short";
  absl::StrAppendFormat(&html,
                        "<div class=\"rows\" role=\"table\" aria-label=\"Classes\">\n<div "
                        "class=\"%s head\" role=\"row\">",
                        row_class);
  for (const Order& order : orders) {
    absl::StrAppend(&html, "<span role=\"columnheader\">", order.title, "</span>");
    if (&order == &orders.front()) html += "<div class=\"bar\" aria-hidden=\"true\"></div>";
  }
  html += "</div>\n";

  // places[i][label]: the position of the class in orders[i].
  std::vector<std::vector<size_t>> places(orders.size(), std::vector<size_t>(classes.size()));
  for (size_t i = 0; i < orders.size(); ++i) {
    for (size_t place = 0; place < labels.size(); ++place) {
      places[i][orders[i].labels[place]] = place;
    }
  }
  for (const size_t label : labels) {
    const ClassResult& one = classes[label];
    absl::StrAppendFormat(&html, "<div class=\"%s\" role=\"row\" style=\"", row_class);
    // orders[0], by class, is the order of the rows in the page, so it needs no variable.
    for (size_t i = 1; i < orders.size(); ++i) {
      absl::StrAppend(&html, i > 1 ? ";" : "", "--", orders[i].property, ":", places[i][label]);
    }
    const std::string name = EscapeHtml(ValidUtf8(names[label]));
    absl::StrAppendFormat(
        &html,
        "\"><span role=\"cell\" title=\"%s\">%s</span><div class=\"bar\" aria-hidden=\"true\"><i "
        "style=\"width:%.1f%%\"></i></div>",
        name, name, 100 * one.Recall().value_or(0));
    AppendCell(absl::StrCat(one.support), &html);
    if (has_guessed) AppendCell(Percent(one.Precision()), &html);
    AppendCell(Percent(one.Recall()), &html);
    if (has_guessed) AppendCell(Percent(one.F1()), &html);
    html += "</div>\n";
  }
  html += "</div></div>\n";
  return html;
}

}  // namespace finetune
