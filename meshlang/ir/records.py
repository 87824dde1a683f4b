"""How the records of the machine's state and the packed words of the instruction set are declared.

A `Record` is a row of words in a flat array, a `Packed` is one word made of bit fields. Both are classes that only list
their fields, in order, with a line of documentation each:

    class Entry(Record, prefix="E", size="EK", array="U"):
        "An entry of a queue."
        value = word("payload")
        time = word("cycle of arrival, modulo 2^32")
        flags = word("what goes with it", EntryFlags)

    class EntryFlags(Packed, prefix="EF", name="entry"):
        "What goes with a wavelet in a queue."
        control = flag("it is a control wavelet")
        slot = bits(24, "channel it leaves through", at=8)

All else is taken from there. A field of a record is a number, its offset: `U[e + Entry.value]`, `row[Entry.time]`,
`block[:, Entry.flags]`. A field of a word reads and writes it: `EntryFlags.slot.get(word)`, `.put(5, word)`,
`EntryFlags.pack(control=1, slot=5)`; ints and numpy arrays alike. `Entry.view(U, first, count)` shows part of an array
as a structured one, `view["time"]`. `numbers` gives the engine its constants (E_VALUE, EK), engine/bits.py its readers
(entry_slot), fabric/reference.py the page docs/state.md.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

LINE_BYTES = 64  # a cache line
_WORD: dict[str, type[np.generic]] = {"W": np.int64, "U": np.uint32, "T": np.int32, "C": np.int32, "HS": np.int64}


class Bits:
    """A field of a packed word. `count`: so many of the same width, one behind the other (`get(word, i)`)."""

    def __init__(self, width: int, doc: str, at: int | None, signed: bool, count: int):
        self.name, self.first, self.width, self.doc = "", -1 if at is None else at, width, doc
        self.signed, self.count = signed, count

    @property
    def low(self) -> int:
        """All bits of a value of this width."""
        return (1 << self.width) - 1

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return ((1 << self.width * self.count) - 1) << self.first

    def get(self, word: Any, i: int = 0) -> Any:
        """Its value in a word."""
        value = word >> self.first + self.width * i & self.low
        if not self.signed:
            return value
        half = 1 << self.width - 1
        return (value ^ half) - half

    def put(self, value: Any, word: Any = 0, i: int = 0) -> Any:
        """The word with this field set to a value (bits of the value that the field does not have are dropped). Arrays
        are of int64 then."""
        word, value = _wide(word), _wide(value)
        at = self.first + self.width * i
        field = self.low << at
        if field >> 63:
            field -= 1 << 64  # as numpy has it in 64 bits
        return word & ~field | (value & self.low) << at


def _wide(value: Any) -> Any:
    """Numbers of numpy in 64 bits, which masks fit into."""
    return value.astype(np.int64) if isinstance(value, (np.ndarray, np.generic)) else value


def bits(width: int, doc: str, at: int | None = None, signed: bool = False, count: int = 1) -> Bits:
    """A field of so many bits, behind the field before it or from bit `at` on."""
    return Bits(width, doc, at, signed, count)


def flag(doc: str, at: int | None = None) -> Bits:
    """A field of one bit."""
    return Bits(1, doc, at, False, 1)


class Packed:
    """A word made of bit fields.

    name: readers of the engine are called NAME_FIELD, writers NAME_WITH_FIELD, both in lower case. prefix: masks of
    single bits are called PREFIX_FIELD. Fields may overlap where a word has several forms; that is stated with `at`.
    """

    NAME: ClassVar[str]
    PREFIX: ClassVar[str]
    FIELDS: ClassVar[dict[str, Bits]]
    BITS: ClassVar[int]  # of the word

    def __init_subclass__(cls, name: str, prefix: str, word: int = 32):
        cls.NAME, cls.PREFIX, cls.BITS = name, prefix, word
        cls.FIELDS = {key: value for key, value in vars(cls).items() if isinstance(value, Bits)}
        at = 0
        for key, field in cls.FIELDS.items():
            field.name = key
            if field.first < 0:
                field.first = at
            at = field.first + field.width * field.count
            assert at <= word, f"{cls.__name__}.{key} leaves its word"

    @classmethod
    def pack(cls, **values: Any) -> Any:
        """The word with these values, and 0 elsewhere."""
        word: Any = 0
        for key, value in values.items():
            word = cls.FIELDS[key].put(value, word)
        return word

    @classmethod
    def unpack(cls, word: Any) -> dict[str, Any]:
        """All fields of a word that are single."""
        return {key: field.get(word) for key, field in cls.FIELDS.items() if field.count == 1}


class Field(int):
    """A field of a record: its offset in words, and what is known about it. count: words it has, or records if it is
    made of such. within: the numbers it may hold, if that can be said of it alone (verify.py refuses others)."""

    name: str
    within: range | None
    doc: str
    count: int
    packed: type[Packed] | None
    part: type[Record] | None
    line: bool  # begins a cache line

    @property
    def words(self) -> int:
        return self.count * (self.part.WORDS if self.part is not None else 1)


def _field(
    at: int,
    name: str,
    doc: str,
    count: int,
    packed: type[Packed] | None,
    part: type[Record] | None,
    line: bool,
    within: range | None,
) -> Field:
    field = Field(at)
    field.within = within
    field.name, field.doc, field.count, field.packed, field.part, field.line = name, doc, count, packed, part, line
    return field


def word(doc: str, packed: type[Packed] | None = None, line: bool = False, within: range | None = None) -> Field:
    """A field of one word. line: it begins a cache line."""
    return _field(-1, "", doc, 1, packed, None, line, within)


def words(
    count: int, doc: str, packed: type[Packed] | None = None, line: bool = False, within: range | None = None
) -> Field:
    """Several words of the same meaning."""
    return _field(-1, "", doc, count, packed, None, line, within)


def parts(record: type[Record], count: int, doc: str, line: bool = False) -> Field:
    """Records inside a record."""
    return _field(-1, "", doc, count, None, record, line, None)


class Record:
    """Words in one of the machine's arrays.

    prefix: offsets are called PREFIX_FIELD in the engine. size: what the engine calls the number of words. array: the
    one it lives in (engine/state.py has the list). lines: the record has whole cache lines. shared: its words are not
    the same thing in all records, so that they have no view.
    """

    PREFIX: ClassVar[str]
    SIZE: ClassVar[str]
    ARRAY: ClassVar[str]
    WORDS: ClassVar[int]
    FIELDS: ClassVar[dict[str, Field]]
    DTYPE: ClassVar[np.dtype]

    def __init_subclass__(cls, prefix: str, size: str, array: str, lines: bool = False):
        cls.PREFIX, cls.SIZE, cls.ARRAY, cls.FIELDS = prefix, size, array, {}
        item = np.dtype(_WORD[array])
        per_line = LINE_BYTES // item.itemsize
        at = 0
        for key, field in [(k, v) for k, v in vars(cls).items() if isinstance(v, Field)]:
            if field.line:
                at += -at % per_line
            placed = _field(at, key, field.doc, field.count, field.packed, field.part, field.line, field.within)
            cls.FIELDS[key] = placed
            setattr(cls, key, placed)
            at += placed.words
        cls.WORDS = at + (-at % per_line if lines else 0)
        formats: list[Any] = []
        for field in cls.FIELDS.values():
            one = item if field.part is None else field.part.DTYPE
            formats.append(one if field.count == 1 and field.part is None else (one, (field.count,)))
        cls.DTYPE = np.dtype(
            {
                "names": list(cls.FIELDS),
                "formats": formats,
                "offsets": [item.itemsize * int(f) for f in cls.FIELDS.values()],
                "itemsize": item.itemsize * cls.WORDS,
            }
        )

    @classmethod
    def view(cls, array: np.ndarray, first: int = 0, count: int = 1) -> np.ndarray:
        """`count` records from word `first` of an array on, as a structured array. No copy: what is written is there."""
        return array[int(first) : int(first) + count * cls.WORDS].view(cls.DTYPE)

    @classmethod
    def at(cls, array: np.ndarray, first: int) -> Any:
        """The record at word `first` of an array; `record["field"]` reads and writes it."""
        return cls.view(array, first)[0]

    @classmethod
    def read(cls, array: np.ndarray, first: int) -> list[int]:
        """A copy of a record as plain numbers, `words[Pe.time]`: for loops over many."""
        return array[first : first + cls.WORDS].tolist()

    @classmethod
    def rows(cls, table: Any) -> np.ndarray:
        """A table as integers [row, field], whatever it comes as (also empty, or flat)."""
        return np.asarray(table, np.int32).reshape(-1, cls.WORDS)

    @classmethod
    def make(cls, **values: int) -> list[int]:
        """A record with these values, and 0 elsewhere."""
        row = [0] * cls.WORDS
        for key, value in values.items():
            row[cls.FIELDS[key]] = int(value)
        return row


def byte_fields(record: type[Record]) -> np.dtype:
    """A record of packed words whose fields all are whole bytes, with these as fields of its own."""
    item = np.dtype(_WORD[record.ARRAY]).itemsize
    names: list[str] = []
    formats: list[str] = []
    offsets: list[int] = []
    for name, field in record.FIELDS.items():
        inner = field.packed.FIELDS.items() if field.packed is not None else [(name, bits(8 * item, "", 0, True))]
        for key, part in inner:
            assert part.first % 8 == 0 and part.width in (8, 16, 32, 64), f"{name}.{key} has no whole bytes"
            names.append(key)
            formats.append(f"<{'i' if part.signed else 'u'}{part.width // 8}")
            offsets.append(item * int(field) + part.first // 8)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": item * record.WORDS})


def numbers(*declared: type[Record] | type[Packed]) -> dict[str, int]:
    """The names under which the engine knows what was declared: offsets and sizes of records, masks of single bits."""
    out: dict[str, int] = {}
    for d in declared:
        if issubclass(d, Record):
            out[d.SIZE] = d.WORDS
            out |= {f"{d.PREFIX}_{_plain(key)}": int(field) for key, field in d.FIELDS.items()}
        else:
            out |= {f"{d.PREFIX}_{_plain(k)}": f.mask for k, f in d.FIELDS.items() if f.width == f.count == 1}
    return out


def _plain(key: str) -> str:
    """A field's name in capitals (a name that Python has for itself is declared with an underscore behind it)."""
    return key.rstrip("_").upper()
