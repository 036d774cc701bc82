"""What formats are made of, to be put where it does not belong."""

from __future__ import annotations

PICKLE = (
    b"\x80\x02",
    b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cnumpy\ndtype\n",
    b"\x8c\x02os\x8c\x06system\x93",
    b"X\x02\x00\x00\x00id",
    b"\x8a\xff" + b"\xff" * 255,
    b"\x8b\xff\xff\xff\x7f",
    b"B\xff\xff\xff\xff",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"r\xff\xff\xff\xff",
    b"G\x7f\xf8\x00\x00\x00\x00\x00\x00",
    *(bytes([opcode]) for opcode in b"()]}N\x88\x89\x8f\x90\x91\x94\x85\x86\x87012tuseadbRQ\x81."),
)
"""Opcodes of pickles, with arguments that lie."""
JSON = (
    *b'[ { {"a": ] } , : " null true NaN -Infinity 1e400 [[],{}] "\\ud800" "\\u0000" \\n'.split(),
    b"\xff",
    b"9" * 5000,
)
"""JSON, and what is nearly JSON."""
CSV = (b"\n", b"\r", b"\0", b"\xff", *b', " "" ; file nan 1e999 = ..'.split())
"""Separators of tables and conditions, and odd values."""
EXPRESSION = (b" ", b"\n", b"\xff", *b"( ) + - * / . men_g 1e308".split())
"""Sums of groups."""
PICTURES = (
    *b"IHDR IDAT IEND zTXt iCCP acTL RIFF WEBP VP8X GIF89a BM P6".split(),
    b"P3\n",
    *(b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc2", b"\xff\xe1"),
    b"Exif\0\0",
    b"II*\0",
    b"MM\0*",
    b"\x21\xf9",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
)
"""Marks of picture formats, one of which is a program."""
