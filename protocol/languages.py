"""Languages by their ISO 639 codes: two letters and three are the same language, and so are both forms of three."""

from __future__ import annotations

import re

_TABLE = """
aa aar, ab abk, ae ave, af afr, ak aka, am amh, an arg, ar ara, as asm, av ava, ay aym, az aze, ba bak, be bel, bg bul,
bi bis, bm bam, bn ben, bo bod tib, br bre, bs bos, ca cat, ce che, ch cha, co cos, cr cre, cs ces cze, cu chu, cv chv,
cy cym wel, da dan, de deu ger, dv div, dz dzo, ee ewe, el ell gre, en eng, eo epo, es spa, et est, eu eus baq, fa fas per,
ff ful, fi fin, fj fij, fo fao, fr fra fre, fy fry, ga gle, gd gla, gl glg, gn grn, gu guj, gv glv, ha hau, he heb, hi hin,
ho hmo, hr hrv, ht hat, hu hun, hy hye arm, hz her, ia ina, id ind, ie ile, ig ibo, ii iii, ik ipk, io ido, is isl ice,
it ita, iu iku, ja jpn, jv jav, ka kat geo, kg kon, ki kik, kj kua, kk kaz, kl kal, km khm, kn kan, ko kor, kr kau, ks kas,
ku kur, kv kom, kw cor, ky kir, la lat, lb ltz, lg lug, li lim, ln lin, lo lao, lt lit, lu lub, lv lav, mg mlg, mh mah,
mi mri mao, mk mkd mac, ml mal, mn mon, mr mar, ms msa may, mt mlt, my mya bur, na nau, nb nob, nd nde, ne nep, ng ndo,
nl nld dut, nn nno, no nor, nr nbl, nv nav, ny nya, oc oci, oj oji, om orm, or ori, os oss, pa pan, pi pli, pl pol, ps pus,
pt por, qu que, rm roh, rn run, ro ron rum, ru rus, rw kin, sa san, sc srd, sd snd, se sme, sg sag, si sin, sk slk slo,
sl slv, sm smo, sn sna, so som, sq sqi alb, sr srp, ss ssw, st sot, su sun, sv swe, sw swa, ta tam, te tel, tg tgk, th tha,
ti tir, tk tuk, tl tgl, tn tsn, to ton, tr tur, ts tso, tt tat, tw twi, ty tah, ug uig, uk ukr, ur urd, uz uzb, ve ven,
vi vie, vo vol, wa wln, wo wol, xh xho, yi yid, yo yor, za zha, zh zho chi, zu zul
"""
"""ISO 639-1, then ISO 639-2/T, then /B where that differs."""

_ROWS = tuple(tuple(row.split()) for row in _TABLE.split(","))
_SHORT = {code: row[0] for row in _ROWS for code in row}
_LONG = {row[0]: row[1] for row in _ROWS}
_CODE = re.compile(r"[a-z]{2,3}")


def short(language: str | None) -> str | None:
    """The shortest code, as BCP 47 wants it: `en` for `eng`. None for what says nothing, or is no code."""
    code = (language or "").lower()
    if code == "und" or _CODE.fullmatch(code) is None:
        return None
    return _SHORT.get(code, code)


def long(language: str | None) -> str | None:
    """Three letters (ISO 639-2/T), as MP4 wants them: `deu` for `de` and `ger`. None where none are known."""
    code = short(language)
    told = _LONG.get(code or "", code)
    return told if told and len(told) == 3 else None
