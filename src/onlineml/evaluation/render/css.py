"""Style sheet of the report, light and dark."""

__all__ = ["CSS"]

CSS = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --text: #1d2329; --ink: #5b646e; --line: #e2e6ea;
  --accent: #2f74b5; --soft: #3d85c633; --alarm: #c4432f; --calm: #2c7d5b; --warm: #a8640f; }
@media (prefers-color-scheme: dark) { :root { --page: #101418; --card: #191f25; --text: #e8ecf0; --ink: #a3adb8;
  --line: #2c343c; --accent: #6aaee6; --soft: #3d85c655; --alarm: #f08573; --calm: #63c39b;
  --warm: #e5a04b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 17px; margin: 0 0 4px; }
p { margin: 4px 0 12px; } .muted { color: var(--ink); } .small { font-size: 13px; }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 24px;
  margin-bottom: 18px; }
.hero { display: flex; flex-wrap: wrap; gap: 12px 44px; align-items: center; margin-top: 12px; }
.big { font-size: 58px; line-height: 1.05; font-weight: 700; letter-spacing: -1px; white-space: nowrap; }
.hero .say { flex: 1 1 380px; font-size: 17px; } .hero .say p { margin: 2px 0 6px; }
.scale { position: relative; height: 12px; border-radius: 6px; background: var(--line); margin: 10px 0 4px; }
.scale i { position: absolute; top: 0; height: 100%; border-radius: 6px; background: var(--accent); opacity: .4; }
.scale b { position: absolute; top: -4px; height: 20px; width: 4px; margin-left: -2px; border-radius: 2px;
  background: var(--accent); }
.scale u { position: absolute; top: -2px; height: 16px; width: 2px; background: var(--ink); }
.ends span { flex: none; } .ends span + span:not(:last-child) { flex: 0 1 auto; text-align: center; padding: 0 8px; }
.ends { display: flex; justify-content: space-between; font-size: 12px; color: var(--ink); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 18px; }
.cards div { border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.cards b { display: block; font-size: 22px; } .cards span { font-size: 12.5px; color: var(--ink); display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-size: 12.5px; color: var(--ink); font-weight: 600; padding: 4px 10px;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, td.left, th.left { text-align: left; overflow-wrap: anywhere; white-space: normal;
  min-width: 110px; }
td .scale { width: 150px; margin: 0; display: inline-block; vertical-align: middle; }
.scroll { overflow-x: auto; } .bad { color: var(--alarm); font-weight: 600; } .good { color: var(--calm); }
.warm { color: var(--warm); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 18px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; }
figure { margin: 0; } .gallery figure { border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.gallery img, .gallery .none { width: 100%; aspect-ratio: 1; object-fit: cover; display: block;
  background: var(--line); }
.gallery .none { padding: 12px; font-size: 11px; color: var(--ink); overflow-wrap: anywhere; overflow: hidden; }
.gallery figcaption { padding: 8px 10px; font-size: 13px; line-height: 1.35; overflow-wrap: anywhere; }
.gallery.large { grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
.shot { aspect-ratio: 4 / 3; background: var(--line); } .gallery .shot svg { max-width: none; }
.meter { flex: 0 1 190px; min-width: 160px; } .meter .big { font-size: 46px; }
.wide svg { max-width: 900px; }
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(310px, 1fr)); gap: 14px; }
details .gallery { margin-top: 12px; }
figure svg { width: 100%; height: auto; max-width: 700px; display: block; margin: 0 auto; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); } code { overflow-wrap: anywhere; }
@media print { section { break-inside: avoid; } }
@media (max-width: 520px) { .pair { grid-template-columns: 1fr; } section, header { padding: 14px; } }
"""
