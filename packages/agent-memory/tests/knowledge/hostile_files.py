"""Makes a folder of mixed files, as a company's share has them: good ones, and every kind of bad one.

`python hostile_files.py FOLDER [COUNT] [BIG_MB]` writes one; the same every time.
"""

import gzip
import io
import json
import random
import sys
import tarfile
import zipfile
from pathlib import Path

WORDS = [
    "pump",
    "valve",
    "pressure",
    "contract",
    "tenant",
    "notice",
    "revenue",
    "quarter",
    "patient",
    "dose",
    "fever",
    "server",
    "deploy",
    "rollback",
    "alert",
    "paper",
    "enzyme",
    "orbit",
    "engine",
    "packet",
    "token",
    "index",
    "vector",
    "river",
    "mountain",
    "bread",
    "garden",
    "harbour",
    "lantern",
    "market",
    "window",
]


def sentence(chance):
    return " ".join(chance.choices(WORDS, k=chance.randint(6, 16))).capitalize() + "."


def prose(chance, paragraphs=6):
    return "\n\n".join(" ".join(sentence(chance) for _ in range(5)) for _ in range(paragraphs))


def pdf(pages, title="Report"):
    """A small PDF, written by hand: a page an entry, with a line of text each."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for text in pages:
        stream = b"BT /F1 12 Tf 72 720 Td (" + text.encode("latin-1", "replace") + b") Tj ET"
        number = len(objects) + 1
        kids.append(b"%d 0 R" % number)
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font << /F1 << "
        page += b"/Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        objects += [page % (number + 1), b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream)]
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    objects.append(b"<< /Title (%s) >>" % title.encode())
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, one in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\n" % (len(objects) + 1, len(objects)))
    out.write(b"startxref\n%d\n%%%%EOF" % start)
    return out.getvalue()


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def tarred(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def docx(text):
    body = "".join(f"<w:p><w:r><w:t>{part}</w:t></w:r></w:p>" for part in text.split("\n\n"))
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return zipped(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
            "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r1" Target="word/document.xml" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>',
            "word/document.xml": f"<w:document {space}><w:body>{body}</w:body></w:document>",
        }
    )


def page(chance):
    return (
        f"<html><head><title>{sentence(chance)}</title></head><body><nav>Home About</nav><article><h1>Note</h1>"
        f"<p>{prose(chance, 1)}</p><h2>More</h2><p>{prose(chance, 1)}</p></article></body></html>"
    )


def source(number):
    return (
        f'"""Module {number}."""\n\n\nclass Pump{number}:\n    """A pump."""\n\n    def start(self, pressure):\n'
        f'        """Start the pump."""\n        return pressure + {number}\n\n\ndef stop_{number}():\n    return None\n'
    )


def good(number, chance):
    """The name and content of a file that reads well; the kinds take turns."""
    kinds = (
        lambda: (
            "md",
            f"# Note {number}\n\n{prose(chance, 3)}\n\n## Detail\n\n{prose(chance, 3)}\n".encode(),
        ),
        lambda: ("txt", prose(chance).encode()),
        lambda: ("py", source(number).encode()),
        lambda: ("html", page(chance).encode()),
        lambda: ("csv", ("name,value\n" + "".join(f"{sentence(chance)},{n}\n" for n in range(20))).encode()),
        lambda: ("json", json.dumps([{"id": n, "text": sentence(chance)} for n in range(10)]).encode()),
        lambda: ("pdf", pdf([sentence(chance) for _ in range(3)])),
        lambda: ("docx", docx(prose(chance, 3))),
        lambda: ("jsonl", "".join(json.dumps({"t": sentence(chance)}) + "\n" for _ in range(8)).encode()),
        lambda: ("zip", zipped({"in/a.md": f"# Inside\n\n{prose(chance, 2)}", "in/b.txt": prose(chance, 1)})),
        lambda: (
            "tar.gz",
            tarred({"c.txt": prose(chance, 1).encode(), "d.zip": zipped({"e.txt": sentence(chance)})}),
        ),
        lambda: ("txt", ("\ufeff" + prose(chance)).encode("utf-16")),
        lambda: ("txt", f"Käse, Öl und Brötchen. {prose(chance)}".encode("cp1252")),
    )
    suffix, content = kinds[number % len(kinds)]()
    return f"good {number:04d}.{suffix}", content


def bad(number, chance):
    """The name and content of a file that does not."""
    noise = chance.randbytes(2_000)
    deep = "1"
    for _ in range(6):
        deep = zipped({"x.zip" if deep != "1" else "x.txt": deep})
    kinds = (
        lambda: ("empty.txt", b""),
        lambda: ("empty.pdf", b""),
        lambda: ("cut.pdf", pdf([sentence(chance)] * 3)[:150]),
        lambda: ("noise.pdf", b"%PDF-1.7\n" + noise),
        lambda: ("noise.docx", noise),
        lambda: ("noise.xlsx", b"PK\x03\x04" + noise),
        lambda: ("noise.zip", b"PK\x03\x04" + noise),
        lambda: ("cut.tar.gz", tarred({"a.txt": b"text " * 999})[:60]),
        lambda: ("cut.json", b'[{"a": 1}, {"b":'),
        lambda: ("deep.json", b"[" * 200_000),
        lambda: ("noise.txt", noise),
        lambda: ("noise", noise),
        lambda: ("mixed.txt", f"Grüße {prose(chance, 1)} ".encode() + "Grüße".encode("cp1252")),
        lambda: ("blank.html", b"<html><body><script>x()</script></body></html>"),
        lambda: ("open.html", b"<div>" * 5_000 + b"text"),
        lambda: ("nested.zip", deep),
        lambda: ("bomb.gz", gzip.compress(b"\0" * (8 << 20))),
        lambda: ("picture.png", b"\x89PNG\r\n\x1a\n" + noise),
        lambda: ("one line.txt", b"x" * 200_000),
        lambda: ("unbalanced.csv", b'a,b\n"open,1\n' * 50),
        lambda: ("broken.py", b"def (:\n  ]]]]\n" * 40),
        lambda: ("half a pair.json", b'["\\ud800 alone"]'),
        lambda: ("no pages.pdf", pdf([])),
    )
    name, content = kinds[number % len(kinds)]()
    return f"bad {number:04d} {name}", content if isinstance(content, bytes) else content.encode()


def make(folder, count=1_000, big_mb=50):
    """Write `count` files in nested folders; three in ten are bad, and one is big."""
    chance = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        is_bad = number % 10 in (2, 5, 8)
        name, content = bad(number // 10 * 3 + number % 10 // 3, chance) if is_bad else good(number, chance)
        place = folder / f"part {number % 7}" / f"deep{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    if big_mb:
        line = (prose(chance, 1) + "\n\n").encode()
        (folder / "big.txt").write_bytes(line * ((big_mb << 20) // len(line)))
    (folder / "loop").symlink_to(folder, target_is_directory=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
