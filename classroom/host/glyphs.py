"""A 5×7 dot font: just enough letters to write a title and a clock into a generated picture.

Lives here: the dots and how a line of text becomes rows of luma. Must not live here: layout.
No font file is read, so the generated lesson looks the same on every machine. Letters with
accents are written without them. Pure: imports nothing of ours.
"""

from __future__ import annotations

import unicodedata
from typing import Final

ROWS: Final = 7
ADVANCE: Final = 6  # dots from one letter to the next, one of them empty

# Five columns a letter, left to right; bit 0 is the top dot.
_COLUMNS: Final = {
    " ": "0000000000",
    "A": "7e1111117e",
    "B": "7f49494936",
    "C": "3e41414122",
    "D": "7f4141221c",
    "E": "7f49494941",
    "F": "7f09090901",
    "G": "3e4149497a",
    "H": "7f0808087f",
    "I": "00417f4100",
    "J": "2040413f01",
    "K": "7f08142241",
    "L": "7f40404040",
    "M": "7f020c027f",
    "N": "7f0408107f",
    "O": "3e4141413e",
    "P": "7f09090906",
    "Q": "3e4151215e",
    "R": "7f09192946",
    "S": "4649494931",
    "T": "01017f0101",
    "U": "3f4040403f",
    "V": "1f2040201f",
    "W": "3f4038403f",
    "X": "6314081463",
    "Y": "0708700807",
    "Z": "6151494543",
    "0": "3e5149453e",
    "1": "00427f4000",
    "2": "4261514946",
    "3": "2141454b31",
    "4": "1814127f10",
    "5": "2745454539",
    "6": "3c4a494930",
    "7": "0171090503",
    "8": "3649494936",
    "9": "064949291e",
    ":": "0036360000",
    ".": "0060600000",
    "-": "0808080808",
    "/": "2010080402",
    "=": "1414141414",
}


def plain(text: str) -> str:
    """`text` in capitals without accents; what the font lacks becomes a space."""
    flat = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    letters = (letter for letter in flat.upper() if not unicodedata.combining(letter))
    return "".join(letter if letter in _COLUMNS else " " for letter in letters)


def text_rows(text: str, scale: int, ink: int, paper: int) -> list[bytes]:
    """`text` as 7 × `scale` rows of luma, each len(text) × 6 × `scale` pixels wide."""
    columns: list[int] = []
    for letter in plain(text):
        columns += [*bytes.fromhex(_COLUMNS[letter]), 0]
    rows: list[bytes] = []
    for line in range(ROWS):
        dots = bytes(ink if column >> line & 1 else paper for column in columns)
        row = b"".join(dots[i : i + 1] * scale for i in range(len(dots)))
        rows += [row] * scale
    return rows
