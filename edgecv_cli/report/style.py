"""The report's style sheet: light and dark, from a phone's width to a desk's."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1c1d1f; --soft: #62666d; --line: #e2e2de;
  --plain: #8b93a1; --good: #0f7b5f; --bad: #b4372a; --shade: #eef4f1; }
@media (prefers-color-scheme: dark) { :root {
  --page: #141518; --card: #1d1f23; --ink: #e9eaec; --soft: #a0a5ad; --line: #32353b;
  --plain: #6f7785; --good: #3fb995; --bad: #ef7d6f; --shade: #1f2a28; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
h1, h2, h3, p, b, small, figcaption, .bar > span { overflow-wrap: anywhere; }
td:first-child { min-width: 8rem; overflow-wrap: break-word; }
p { margin: .6rem 0; max-width: 46rem; }
.subtitle, .muted, figcaption, caption { color: var(--soft); }
.muted, figcaption, caption { font-size: .875rem; }
.figures { display: grid; gap: .9rem; margin: 1.4rem 0;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .95rem 1.1rem; }
.figure b { display: block; font-size: 1.75rem; line-height: 1.2; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.figure small { display: block; color: var(--soft); font-size: .8125rem; }
b.good { color: var(--good); } b.bad { color: var(--bad); }
.scroll { overflow-x: auto; margin: 1rem 0; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
caption { text-align: left; padding: .7rem .9rem 0; }
th, td { text-align: left; padding: .5rem .9rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th { font-weight: 600; color: var(--soft); font-size: .8125rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.strong td { background: var(--shade); font-weight: 600; }
.bars { margin: 1.2rem 0; }
.bar { display: grid; grid-template-columns: 11rem 1fr; gap: 0 .9rem; align-items: center;
  margin: .35rem 0; font-size: .9375rem; }
.track { display: flex; align-items: center; gap: .6rem; min-width: 0; }
.track i { display: block; height: 1.1rem; border-radius: .2rem; background: var(--plain);
  width: calc((100% - 7rem) * var(--part)); min-width: 2px; flex: none; }
.track i.good { background: var(--good); } .track i.bad { background: var(--bad); }
.track span { flex: none; font-variant-numeric: tabular-nums; font-size: .875rem; }
.images { display: grid; gap: 1rem; margin: 1.2rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: .4rem;
  border: 1px solid var(--line); }
figcaption { margin-top: .35rem; }
@media (max-width: 34rem) {
  main { padding: 1.5rem .9rem 3rem; } h1 { font-size: 1.5rem; }
  .bar { grid-template-columns: 1fr; margin: .7rem 0; } th, td { padding: .45rem .6rem; }
  .figures { grid-template-columns: repeat(2, 1fr); gap: .6rem; }
  .figure { padding: .7rem .8rem; } .figure b { font-size: 1.35rem; } }
@media print { body { background: none; } .figure, .scroll, figure, .bars {
  break-inside: avoid; } }
"""
