/** The stylesheet of the page and of the file. Colours follow the reader's scheme; text has a contrast of at least 4.5 : 1. */
export const STYLESHEET = `:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --card: #ffffff; --text: #1b2330; --muted: #586274; --line: #e6e9ee; --axis: #8e97a6; --link: #1a56c4;
  --succeeded: #2a9d7f; --partly: #bb7d06; --failed: #cf3f4f; --cancelled: #7d8899; --open: #4478d6; --p50: #3d77d6; --p95: #7a4fc0;
  --good-text: #13694f; --warning-text: #7d5200; --bad-text: #a82232;
  --good-ground: #e7f5f0; --warning-ground: #fdf4df; --bad-ground: #fdebed;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #10141b; --card: #191f29; --text: #e8ecf2; --muted: #a0abbc; --line: #2a3240; --axis: #4b5668; --link: #8db8ff;
    --succeeded: #3fb996; --partly: #e5b04a; --failed: #ee6a78; --cancelled: #7d889a; --open: #6c9df2; --p50: #6c9df2; --p95: #b794f6;
    --good-text: #7fdcbf; --warning-text: #f2c873; --bad-text: #ff9aa5;
    --good-ground: #12291f; --warning-ground: #2c2412; --bad-ground: #331a1f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 1920px; margin: 0 auto; padding: 0 20px; }
header { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 8px 24px; padding-top: 18px; padding-bottom: 14px; }
.brand { margin: 0; font-weight: 650; letter-spacing: -0.01em; }
.scope, footer, .note { color: var(--muted); }
.scope { margin: 0; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, select:focus-visible, button:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 12px; padding: 8px 12px; background: var(--card); z-index: 1; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
form { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 14px; margin: 0; }
label { color: var(--muted); font-size: 13px; }
select, button { font: inherit; font-size: 13px; color: var(--text); background: var(--card); border: 1px solid var(--axis); border-radius: 7px; padding: 5px 9px; margin-left: 5px; max-width: 200px; }
button { cursor: pointer; margin-left: 0; }
.refresh { font-size: 13px; }
.freshness { margin-bottom: 16px; border-radius: 12px; padding: 16px 20px; border-left: 5px solid; }
.freshness h1 { margin: 0; font-size: 20px; line-height: 1.35; font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }
.freshness h1 a { color: inherit; text-decoration: none; }
.freshness h1 a:hover { text-decoration: underline; }
.freshness p { margin: 4px 0 0; font-size: 14px; overflow-wrap: anywhere; }
.freshness .alert { font-weight: 600; } .freshness .alert a { color: inherit; text-decoration: none; } .freshness .alert a:hover { text-decoration: underline; }
.freshness progress { width: 100%; margin-top: 8px; }
.freshness.good { background: var(--good-ground); border-color: var(--succeeded); } .good h1 { color: var(--good-text); }
.freshness.warning { background: var(--warning-ground); border-color: var(--partly); } .warning h1 { color: var(--warning-text); }
.freshness.bad { background: var(--bad-ground); border-color: var(--failed); } .bad h1 { color: var(--bad-text); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 14px; margin: 0 0 16px; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; min-width: 0; }
.tile { padding: 13px 16px; }
.tile dt { color: var(--muted); font-size: 13px; }
.tile dd { margin: 0; }
.tile dd a { display: block; white-space: nowrap; color: var(--text); text-decoration: none; font-size: 25px; line-height: 1.3; font-weight: 650; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.tile dd a:hover { color: var(--link); text-decoration: underline; }
.tile dd span { color: var(--muted); font-size: 13px; }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; margin-bottom: 16px; }
.broad { grid-column: span 2; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); column-gap: 16px; align-items: start; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); column-gap: 16px; }
.card { padding: 16px 20px 12px; position: relative; margin-bottom: 16px; }
.grid .card { margin-bottom: 0; }
h2, .card h1 { margin: 0 80px 6px 0; font-size: 15px; font-weight: 650; overflow-wrap: anywhere; }
.count { color: var(--muted); font-weight: 400; }
.source { position: absolute; top: 16px; right: 20px; margin: 0; font-size: 12px; }
figure { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; list-style: none; margin: 0 0 4px; padding: 0; font-size: 13px; color: var(--muted); }
.legend li::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 6px; background: currentColor; }
.legend li.succeeded::before { background: var(--succeeded); } .legend li.partly::before { background: var(--partly); }
.legend li.failed::before { background: var(--failed); } .legend li.cancelled::before { background: var(--cancelled); }
.legend li.open::before { background: var(--open); } .legend li.p50::before { background: var(--p50); } .legend li.p95::before { background: var(--p95); }
.note { font-size: 13px; margin: 0 0 6px; }
.chart { display: block; width: 100%; height: auto; font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.narrow, .medium { display: none; }
details { margin-top: 6px; font-size: 13px; }
summary { cursor: pointer; color: var(--muted); }
.scroll { overflow-x: auto; } details .scroll { max-height: 320px; margin-top: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 120px; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--muted); font-weight: 500; }
tbody th { font-weight: 400; }
code { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.warning-text { color: var(--warning-text); }
.nowrap, .badge { white-space: nowrap; }
.clamp { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; line-clamp: 2; overflow: hidden; min-width: 64px; }
.none { color: var(--muted); font-size: 13px; margin: 6px 0; }
.letters { font-size: 13px; margin: 0 0 8px; padding-left: 18px; overflow-wrap: anywhere; }
button.small { font-size: 12px; padding: 0 7px; border-radius: 6px; margin-left: 6px; color: var(--muted); border-color: var(--line); }
button.small:hover { color: var(--link); border-color: var(--link); }
.local { color: var(--muted); font-weight: 400; font-size: 0.87em; }
.freshness .local { color: inherit; }
.tip { position: fixed; z-index: 2; pointer-events: none; max-width: 280px; padding: 8px 12px; border-radius: 8px; background: var(--card); border: 1px solid var(--axis); box-shadow: 0 3px 12px rgb(0 0 0 / 0.18); font-size: 12px; color: var(--muted); font-variant-numeric: tabular-nums; }
.tip b { color: var(--text); font-weight: 600; } .tip .local { display: none; }
.offline { margin: 0 0 12px; padding: 8px 16px; border-radius: 8px; background: var(--warning-ground); color: var(--warning-text); }
input { font: inherit; font-size: 13px; color: var(--text); background: var(--card); border: 1px solid var(--axis); border-radius: 7px; padding: 5px 9px; margin-left: 5px; width: 290px; max-width: 100%; }
.card form { margin: 4px 0 12px; } .pager { margin-top: 10px; color: var(--muted); }
nav [aria-current] { color: var(--text); text-decoration: none; font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: 8px 16px; font-size: 13px; } .brand { margin-right: auto; }
.badge { display: inline-block; font-size: 12px; padding: 0 8px; border-radius: 9px; border: 1px solid currentColor; }
.badge.succeeded { color: var(--good-text); } .badge.partly { color: var(--warning-text); } .badge.failed { color: var(--bad-text); }
.badge.open { color: var(--link); } .badge.cancelled { color: var(--muted); }
progress { appearance: none; width: 84px; height: 8px; border: 0; border-radius: 4px; background: var(--line); overflow: hidden; vertical-align: middle; }
progress::-webkit-progress-bar { background: var(--line); } progress::-webkit-progress-value { background: var(--open); } progress::-moz-progress-bar { background: var(--open); }
.query { break-inside: avoid; padding-top: 10px; }
.sql h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; scroll-margin-top: 12px; }
pre { margin: 0; padding: 10px 12px; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--ground); border-radius: 8px; }
h3:target + pre { outline: 2px solid var(--link); }
footer { font-size: 13px; padding-bottom: 24px; }
@media (min-width: 1200px) { .queries:has(:nth-child(2 of .query)) { columns: 2; column-gap: 24px; } }
@media (min-width: 1600px) { .grid { grid-template-columns: 1fr 1fr 1fr; } .filling { grid-column: span 2; } }
@media (min-width: 1800px) { .columns { grid-template-columns: minmax(0, 2fr) minmax(0, 1fr); } .short { columns: 2; column-gap: 16px; } .short .card { display: inline-block; width: 100%; } }
@media (max-width: 1000px) { .tiles { grid-template-columns: repeat(3, 1fr); } .tile:nth-child(7):last-child { grid-column: 1 / -1; } .broad .wide { display: none; } .broad .medium { display: block; } }
@media (max-width: 820px) { .grid { grid-template-columns: 1fr; } .broad { grid-column: auto; } .columns { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 860px) {
  .stacked thead { display: none; } .stacked, .stacked tbody { display: block; }
  .stacked tr { display: flex; flex-wrap: wrap; gap: 1px 12px; padding: 6px 0; border-bottom: 1px solid var(--line); }
  .stacked tr:last-child { border: 0; } .stacked th, .stacked td { border: 0; padding: 1px 0; min-width: 0; }
  .stacked tbody th { font-weight: 600; }
  .stacked td[data-heading]::before { content: attr(data-heading) ": "; color: var(--muted); }
}
@media (max-width: 520px) {
  td .local, th .local { display: none; }
  header, main, footer { padding-left: 12px; padding-right: 12px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 10px; } .tile { padding: 10px 12px; } .tile dd a { font-size: 21px; }
  .card, .freshness { padding-left: 14px; padding-right: 14px; } .source { right: 14px; } .freshness h1 { font-size: 18px; }
  td progress { width: 40px; } th, td { padding-right: 8px; } thead th { white-space: normal; } .long { min-width: 70px; }
  .wide, .broad .medium { display: none; } .narrow { display: block; }
}
@media print { .source, form, .skip { display: none; } .card { break-inside: avoid; } }
`
