"""The report's style sheet: light and dark, from a phone's width to a desk's, and on paper."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1c1d1f; --soft: #5d6168; --line: #e0e0dc;
  --plain: #858c98; --accent: #2f63b8; --good: #0f7457; --bad: #b4372a; --warn: #8a5a00;
  --shade: #eef4f1; }
@media (prefers-color-scheme: dark) { :root {
  --page: #141518; --card: #1d1f23; --ink: #e9eaec; --soft: #a6abb3; --line: #34373d;
  --plain: #7d8593; --accent: #7ba9f0; --good: #46bd9a; --bad: #f08a7d; --warn: #e0b04f;
  --shade: #1f2a28; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .8rem; }
h3 { font-size: 1.08rem; margin: 2rem 0 .5rem; } h4 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
h1, h2, h3, h4, p, b, small, li, figcaption, dd, td, .bar > span, .change > span {
  overflow-wrap: anywhere; }
tbody th { overflow-wrap: break-word; } .number { overflow-wrap: normal; }
p { margin: .6rem 0; max-width: 46rem; }
.subtitle, .muted, figcaption, caption, dt { color: var(--soft); }
.muted, .pair figcaption, .images figcaption, caption { font-size: .875rem; }
.callout ul { margin: .3rem 0 0; padding-left: 1.2rem; } .callout li { margin: .15rem 0; }
.callout { margin: .8rem 0; background: var(--card); border: 1px solid var(--line);
  border-left: .3rem solid var(--warn); border-radius: .4rem; padding: .7rem 1rem; }
.callout b { color: var(--warn); margin-right: .15rem; }
.callout.good { border-left-color: var(--good); } .callout.good b { color: var(--good); }
.callout.bad { border-left-color: var(--bad); } .callout.bad b { color: var(--bad); }
.figures { display: grid; gap: .9rem; margin: 1.4rem 0;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .95rem 1.1rem; }
.figure b { display: block; font-size: 1.75rem; line-height: 1.2; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.figure small { display: block; color: var(--soft); font-size: .8125rem; }
b.good, .said.good { color: var(--good); } b.bad, .said.bad { color: var(--bad); }
.scroll { overflow-x: auto; margin: 1rem 0; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
caption { text-align: left; padding: .7rem .9rem .3rem; }
th, td { text-align: left; padding: .5rem .9rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
th { font-weight: 600; } thead th { color: var(--soft); font-size: .8125rem; }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.strong > * { background: var(--shade); font-weight: 600; }
.facts { margin: .8rem 0; font-size: .9375rem; }
.facts div { display: grid; grid-template-columns: 11rem 1fr; gap: 0 .9rem; padding: .18rem 0; }
dd { margin: 0; min-width: 0; }
.chain { list-style: none; margin: 1rem 0; padding: 0 0 0 1.4rem; }
.chain li { position: relative; padding: 0 0 1.1rem; }
.chain li::before { content: ""; position: absolute; left: -1.35rem; top: .45rem; width: .7rem;
  height: .7rem; border-radius: 50%; background: var(--accent); }
.chain li:not(:last-child)::after { content: ""; position: absolute; left: -1.04rem; top: 1.2rem;
  bottom: -.45rem; border-left: 2px solid var(--line); }
.chain .facts { margin: .2rem 0 0; font-size: .875rem; }
figure { margin: 0; }
.chart { margin: 1.6rem 0; } .chart > figcaption { font-weight: 600; color: var(--ink);
  margin-bottom: .6rem; }
.bar { display: grid; grid-template-columns: 11rem 1fr; gap: 0 .9rem; align-items: center;
  margin: .35rem 0; font-size: .9375rem; }
.track { display: flex; align-items: center; gap: .6rem; min-width: 0; }
.bar i, .change i { display: block; height: 1.1rem; border-radius: .2rem; min-width: 2px;
  background: var(--accent); }
.track i { width: calc((100% - 11rem) * var(--part)); flex: none; }
.track i.good { background: var(--good); } .track i.bad { background: var(--bad); }
.track span { font-variant-numeric: tabular-nums; font-size: .875rem; }
.change { display: grid; grid-template-columns: 9rem 1fr 15rem; gap: 0 .9rem; margin: .5rem 0;
  align-items: center; font-size: .9375rem; }
.change i { height: .5rem; width: calc(100% * var(--part)); border-radius: .1rem; }
.change i + i { margin-top: .12rem; }
i.before, .change i.before { background: var(--plain); } i.after { background: var(--accent); }
.said { font-variant-numeric: tabular-nums; }
.said small { display: block; color: var(--soft); font-size: .8125rem; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .875rem;
  color: var(--soft); }
.key i { display: inline-block; width: 1.4rem; height: .5rem; margin-right: .45rem;
  border-radius: .1rem; vertical-align: .1rem; }
details { margin-top: .8rem; } summary { cursor: pointer; color: var(--accent);
  padding: .3rem 0; }
.series { margin: 1.1rem 0 0; } .series p { margin: 0; font-size: .9375rem; max-width: none; }
.series p span { color: var(--soft); font-size: .875rem; margin-left: .4rem; }
.marks { position: relative; height: 1.3rem; font-size: .75rem; color: var(--ink); }
.marks span { position: absolute; bottom: 0; padding: 0 .25rem; }
.marks .before { transform: translateX(-100%); }
svg { display: block; width: 100%; height: 4.5rem; border-bottom: 1px solid var(--soft);
  overflow: visible; }
.area { fill: var(--accent); opacity: .55; }
svg [class^="mark"] { stroke: var(--ink); stroke-width: 1.5; fill: none;
  vector-effect: non-scaling-stroke; }
svg .mark1 { stroke-dasharray: 5 4; }
.axis { position: relative; height: 1.5rem; font-size: .8125rem; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.axis span { position: absolute; transform: translateX(-50%); top: .15rem; }
.unit { text-align: right; font-size: .8125rem; color: var(--soft); margin: 0; max-width: none; }
.unit.left { text-align: left; }
.plot { position: relative; margin: .2rem .4rem 1.6rem 3.4rem; }
.plot > svg { height: 17rem; border-left: 1px solid var(--soft); background: var(--card); }
.plot .axis { position: absolute; left: 0; right: 0; top: 100%; }
.beside { position: absolute; inset: 0 100% 0 auto; font-size: .8125rem; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.beside span { position: absolute; right: .45rem; transform: translateY(50%); }
svg .rule, svg .line, svg .front, svg .whisker { fill: none; vector-effect: non-scaling-stroke; }
svg .rule { stroke: var(--line); stroke-width: 1; }
svg .line { stroke-width: 2.2; }
svg .l0 { stroke: var(--accent); } svg .l1 { stroke: var(--bad); stroke-dasharray: 9 4; }
svg .l2 { stroke: var(--good); stroke-dasharray: 2 3; }
svg .l3 { stroke: var(--warn); stroke-dasharray: 12 3 2 3; }
svg .l4 { stroke: var(--ink); stroke-dasharray: 5 3; }
svg .l5 { stroke: var(--plain); } svg .l6 { stroke: var(--accent); stroke-dasharray: 2 6; }
svg .l7 { stroke: var(--bad); stroke-dasharray: 14 3 2 3 2 3; }
svg .front { stroke: var(--good); stroke-width: 1.6; stroke-dasharray: 6 4; }
svg .whisker { stroke: var(--soft); stroke-width: 1.4; }
.dot { position: absolute; transform: translate(-50%, 50%); width: 1.45rem; height: 1.45rem;
  border-radius: 50%; background: var(--plain); color: var(--page); font-size: .8125rem;
  line-height: 1.45rem; text-align: center; border: 0; }
.dot.best { background: var(--good); }
.names { margin: .4rem 0 0; padding-left: 1.4rem; font-size: .9375rem; }
ul.names { list-style: none; padding-left: 0; }
.names svg { display: inline-block; width: 2.2rem; height: .6rem; margin-right: .5rem;
  border: 0; vertical-align: .05rem; }
.names small { color: var(--soft); font-size: .8125rem; }
.matrix td { text-align: center; font-variant-numeric: tabular-nums; min-width: 2.2rem; }
.matrix thead th { vertical-align: bottom; } .matrix thead span { writing-mode: vertical-rl;
  transform: rotate(180deg); }
.s1 { --mix: 14%; } .s2 { --mix: 24%; } .s3 { --mix: 34%; } .s4 { --mix: 44%; }
.s5 { --mix: 54%; } .s6 { --mix: 64%; }
.matrix .right { background: color-mix(in srgb, var(--good) var(--mix, 0%), transparent); }
.matrix .wrong { background: color-mix(in srgb, var(--bad) var(--mix, 0%), transparent); }
.images { display: grid; gap: 1rem; margin: 1.2rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); }
.pair { display: grid; gap: 1rem; margin: 1.2rem 0; grid-template-columns: 1fr 1fr; }
img { display: block; width: 100%; height: auto; border-radius: .4rem;
  border: 1px solid var(--line); }
.pair figcaption, .images figcaption { margin-top: .35rem; }
@media (max-width: 40rem) {
  main { padding: 1.5rem .9rem 3rem; } h1 { font-size: 1.5rem; } h2 { margin-top: 2.2rem; }
  th, td { padding: .45rem .4rem; } tr > :first-child { padding-left: .7rem; }
  tr > :last-child { padding-right: .7rem; }
  .bar { grid-template-columns: 1fr; margin: .7rem 0; }
  .track i { width: calc((100% - 9.5rem) * var(--part)); }
  .change { grid-template-columns: 1fr auto; margin: .8rem 0; }
  .said { display: contents; } .two { order: 1; grid-column: 1 / -1; margin: .15rem 0; }
  .said small { order: 2; grid-column: 1 / -1; }
  table { font-size: .875rem; } tbody th { min-width: 4.9rem; }
  .facts div { grid-template-columns: 1fr; padding: .3rem 0; } dt { font-size: .8125rem; }
  .pair { grid-template-columns: 1fr; gap: .7rem; margin: 1.6rem 0; }
  .figures { grid-template-columns: repeat(2, 1fr); gap: .6rem; }
  .figure:last-child:nth-child(odd) { grid-column: 1 / -1; }
  .figure { padding: .7rem .8rem; } .figure b { font-size: 1.35rem; }
  .axis span:nth-child(even) { display: none; }
  .stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .stack, .stack caption, .stack tbody, .stack tr, .stack th { display: block; }
  .stack tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .stack tr:last-child { border-bottom: 0; }
  .stack th, .stack td { border: 0; padding: .15rem .9rem; } .stack tbody th { font-weight: 600; }
  .stack td { display: flex; justify-content: space-between; gap: 1rem; text-align: right; }
  .stack td:empty { display: none; }
  .stack td::before { content: attr(data-title); color: var(--soft); text-align: left; } }
@media print { :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000;
    --soft: #444; --line: #bbb; --plain: #777; --accent: #2f63b8; --good: #0f7457;
    --bad: #b4372a; --warn: #8a5a00; --shade: #f0f0f0; }
  body { font-size: 11pt; } main { max-width: none; padding: 0; }
  .bar i, .change i, .key i, .chain li::before, .area, .dot, .matrix td {
    print-color-adjust: exact; }
  h2, h3, h4, .chart > figcaption { break-after: avoid; }
  .figure, .callout, .pair, .series, .change, .bar, tr, li { break-inside: avoid; }
  summary { display: none; } details::details-content { content-visibility: visible;
    block-size: auto; } }
"""
