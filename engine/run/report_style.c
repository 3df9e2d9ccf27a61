/* How reports look: the charts have their own style (io/svg_style.c). */
#include "io/svg_chart.h"
#include "run/report_parts.h"

static const char ground[] =
    ":root{color-scheme:light dark;--bg:#f6f6f4;--card:#fff;--ink:#1d1f21;--dim:#6a6d70;--line:#e3e3df;"
    "--up:#00754a;--down:#b03a00;--alert:#fff3e0;--alert-line:#e69f00}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#141618;--card:#1e2124;--ink:#e6e6e3;--dim:#9a9da0;"
    "--line:#34383c;--up:#4cc99a;--down:#ff9a66;--alert:#33290f;--alert-line:#b98a1a}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:76rem;padding:1rem 1.2rem 3rem;background:var(--bg);color:var(--ink);"
    "font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;overflow-wrap:anywhere}\n"
    "h1{font-size:1.6rem;margin:.4rem 0 0}h2{font-size:1.15rem;margin:2rem 0 .6rem}h3{font-size:.95rem;"
    "margin:1rem 0 .4rem}.tile h3{margin:0}\n"
    "p{margin:.3rem 0 .6rem}small{font-size:.8rem;color:var(--dim)}.dim{color:var(--dim);font-weight:400}\n"
    "header p{margin:.1rem 0}.state{display:inline-block;padding:.05rem .5rem;border-radius:1rem;"
    "border:1px solid var(--line);background:var(--card);font-size:.85rem}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem "
    ".8rem;margin:0}\n"
    ".tiles,.charts{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,15.5rem),"
    "1fr))}\n"
    ".charts{grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr))}\n"
    ".charts figcaption{font-size:.92rem}.charts figcaption small{display:block}"
    ".charts figure{display:flex;flex-direction:column}.charts svg{margin-top:auto}\n"
    ".tile{border-top:3px solid var(--line)}.tile.up{border-top-color:var(--up)}"
    ".tile.down{border-top-color:var(--down)}\n"
    ".tile p{margin:.1rem 0}.big{font-size:1.45rem;font-variant-numeric:tabular-nums}.big "
    "span{color:var(--dim)}\n"
    ".up .delta,.delta.up{color:var(--up)}.down .delta,.delta.down{color:var(--down)}"
    ".delta{font-variant-numeric:tabular-nums}\n"
    ".alert{background:var(--alert);border-left:4px solid var(--alert-line);padding:.45rem .7rem;"
    "border-radius:4px}.warnings{list-style:none;padding:0}.warnings li{margin:.35rem 0}\n";
static const char parts[] =
    ".album{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,15.5rem),1fr))}\n"
    ".prompt{font-size:.88rem;margin:0 0 .4rem}.pairs{display:grid;gap:.6rem}\n"
    ".pair{display:grid;grid-template-columns:1fr 1fr;gap:.2rem .5rem;position:relative}\n"
    ".pair>.delta{grid-column:1/3;text-align:center;font-size:.85rem}\n"
    "figure{margin:0}.pic img{display:block;width:100%;height:auto;border-radius:4px;background:var(--line)}"
    ".pic.px img{image-rendering:pixelated}.pic img{cursor:zoom-in}\n"
    "article figcaption{font-size:.82rem;color:var(--dim);display:flex;justify-content:center;"
    "flex-wrap:wrap;gap:0 .4rem}.score{color:var(--ink);font-variant-numeric:tabular-nums}\n"
    ".ends{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,9.5rem),1fr))}"
    ".ends .prompt{margin:.3rem 0 0;font-size:.8rem}\n"
    ".grids{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr))}"
    ".grid figcaption{font-size:.85rem;margin-bottom:.3rem}\n"
    "table{border-collapse:collapse;font-size:.88rem}th{text-align:left;font-weight:600}"
    "th,td{padding:.2rem .9rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}\n"
    ".facts{width:100%}.facts th{width:12rem;max-width:40vw}.facts .default,.facts .default th"
    "{color:var(--dim);font-weight:400}.facts .default small{opacity:.75}.help{color:var(--dim)}\n"
    ".wide{overflow-x:auto}.wide td,.wide th{overflow-wrap:normal;white-space:nowrap}"
    ".wide td{font-variant-numeric:tabular-nums}.differ "
    "td{white-space:normal;overflow-wrap:anywhere;min-width:6rem;max-width:24rem}.wide "
    "th{white-space:normal;min-width:5rem;max-width:11rem}\n"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem;"
    "white-space:pre-wrap;font-size:.82rem;margin:.3rem 0 .8rem}code{font-size:.92em}\n"
    "details{margin:1rem 0}summary{cursor:pointer;color:var(--dim);margin-bottom:.6rem}\n"
    "ul{padding-left:1.2rem}footer{margin-top:2.5rem;color:var(--dim);font-size:.8rem}\n"
    ".swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;background:var(--c);"
    "margin-right:.4em}\n"
    "dialog{border:0;padding:0;background:none;max-width:96vw;max-height:96vh}"
    "dialog "
    "img{display:block;max-width:96vw;max-height:92vh;width:auto;height:auto;min-width:min(90vw,32rem)}"
    "dialog::backdrop{background:#000c}dialog .px{image-rendering:pixelated}\n"
    "@media "
    "print{:root{--bg:#fff}body{max-width:none;padding:0;font-size:11px}.card,.pair,tr{break-inside:avoid}"
    "h2{break-after:avoid}.charts{grid-template-columns:1fr 1fr}.album{grid-template-columns:1fr 1fr 1fr}"
    ".ends{grid-template-columns:repeat(6,1fr)}.tip,dialog,details:not([open]){display:none}}\n";

void tl_report_style(struct tl_str *out)
{
    tl_str_append(out, ground);
    tl_str_append(out, parts);
    tl_str_append(out, tl_svg_style);
}

/* Pictures enlarge on a click. */
const char tl_report_script[] =
    "(()=>{const d=document.createElement('dialog'),i=document.createElement('img');d.append(i);"
    "document.body.append(d);d.addEventListener('click',()=>d.close());\n"
    "document.addEventListener('click',e=>{const t=e.target;if(t.tagName!=='IMG'||!t.closest('.pic'))return;"
    "i.src=t.src;i.alt=t.alt;i.className=t.closest('.px')?'px':'';d.showModal()});\n"
    "})();\n";
