# SPDX-License-Identifier: Apache-2.0
"""How the HTML report looks: light, dark and on paper."""

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--paper:#f4f6f9;--card:#fff;--ink:#1a2230;--muted:#5a6474;--line:#dde2ea;--accent:#2f66c8;
--done:#23845c;--busy:#4fa98a;--pending:#a9b2bf;--failed:#c63a2e;--vanished:#7d5bb0;--waived:#b98900;--warn:#b96a00;
--track:#e9edf2}
@media(prefers-color-scheme:dark){:root{--paper:#11151b;--card:#191f28;--ink:#e6eaf1;--muted:#9aa5b4;--line:#2b3440;
--accent:#6d9cf0;--done:#3fb583;--busy:#2b7f62;--pending:#566172;--failed:#f0705f;--vanished:#b190e6;--waived:#dcb142;
--warn:#e39a3b;--track:#242c37}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1080px;margin:0 auto;padding:32px 20px 8px}
footer{max-width:1080px;margin:0 auto;padding:0 20px 32px;color:var(--muted);font-size:13px}
header{margin-bottom:20px}
h1{font-size:30px;line-height:1.2;margin:0 0 10px;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 12px}
h3{font-size:13px;font-weight:600;margin:0;color:var(--muted)}
p{margin:0 0 8px}
.kind{color:var(--muted);font-size:13px;letter-spacing:.06em;text-transform:uppercase;margin:0}
.verdict{font-size:19px;margin-top:10px;overflow-wrap:anywhere}
.badge{display:inline-block;border:1.5px solid currentColor;border-radius:999px;padding:2px 12px;font-weight:600;margin:0}
.badge.good{color:var(--done)}.badge.bad{color:var(--failed)}.badge.warn{color:var(--warn)}.badge.plain{color:var(--accent)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 16px}
.cards{background:none;border:0;padding:0;display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(158px,1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.card p{margin:0;color:var(--muted);font-size:13px}
.card .number{color:var(--ink);font-size:21px;font-weight:650;line-height:1.45;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:0}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:600;color:var(--muted);font-size:12.5px;white-space:nowrap}
th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
.sub{padding-left:34px;color:var(--muted)}
.b{width:24%}.size{white-space:nowrap}
code{font:13px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.muted,.caption,.none{color:var(--muted)}
.muted,.advice{overflow-wrap:anywhere}
.caption{font-size:13px;margin:8px 0 0}
.advice{font-weight:600}
details{margin-top:14px}summary{cursor:pointer;font-weight:600;margin-bottom:6px}
ul{margin:0;padding-left:20px}
.legend{list-style:none;padding:0;margin:8px 0 14px;display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;
color:var(--muted)}
.swatch{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}
figure{margin:0 0 14px}figcaption{font-weight:600;font-size:13.5px;margin-bottom:4px}
svg{display:block;width:100%}
.chart text{font-size:12px;fill:var(--muted)}
.chart .grid,.chart .tick{stroke:var(--line);stroke-width:1}
.stack{height:14px;border-radius:4px;min-width:150px}
td .stack{height:10px;margin-top:6px}
.bar{height:10px;margin-top:6px;min-width:120px;background:var(--track);border-radius:3px}
.empty{fill:var(--track)}
.done{fill:var(--done)}.busy{fill:var(--busy)}.pending{fill:var(--pending)}.failed{fill:var(--failed)}
.vanished{fill:var(--vanished)}.waived{fill:var(--waived)}.accent{fill:var(--accent)}rect.warn{fill:var(--warn)}
.swatch.done{background:var(--done)}.swatch.busy{background:var(--busy)}.swatch.pending{background:var(--pending)}
.swatch.failed{background:var(--failed)}.swatch.vanished{background:var(--vanished)}.swatch.waived{background:var(--waived)}
@media(max-width:640px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}.chart{min-width:560px}
figure{overflow-x:auto}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--muted:#444;--line:#ccc;--accent:#2f66c8;
--done:#23845c;--busy:#4fa98a;--pending:#a9b2bf;--failed:#c63a2e;--vanished:#7d5bb0;--waived:#b98900;--warn:#b96a00;
--track:#e9edf2}
@page{margin:14mm}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:11px}main,footer{max-width:none;padding:0}
section{border:0;border-top:1px solid var(--line);border-radius:0;padding:12px 0}
.cards{grid-template-columns:repeat(3,1fr);border:0}
.card,figure,tr,dl{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}
.scroll{overflow:visible}table,code,th,.caption,.legend,.card p,figcaption{font-size:10px}.card .number{font-size:17px}h1{font-size:22px}.verdict{font-size:14px}}
"""
