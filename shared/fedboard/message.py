"""A message's fields, and the payload of a frame that they become and come back out of.

    class Refused(Message):
        KIND = 0x17
        FIELDS = (("round", U32), ("reason", TEXT))

    Refused(round=3, reason="too late").pack()      03 00 00 00 | 08 | "too late"

pack() raises StateError for a value that its field cannot hold, unpack() WireError for anything
malformed. FIELDS are no constants, as codes have names: so MicroPython makes the tuples as it runs,
and shares the text of a field's name with the code that uses it. In constant tuples each text may
be an object of its own: 2 kB in all.
"""

import struct

from fedboard import StateError, WireError

U8 = "B"  # unsigned integers, little endian
U16 = "H"
U32 = "I"
TEXT = "s"  # a short one in UTF-8, behind a length byte
BYTES = "b"  # at most 255, behind a length byte
REST = "*"  # all that is left of the payload
_SIZES = {U8: 1, U16: 2, U32: 4}


class Message:
    KIND = 0
    FIELDS: "tuple[tuple[str, str], ...]" = ()

    def __init__(self, **values: "int | str | bytes") -> None:
        for name, code in self.FIELDS:
            default: int | str | bytes = 0 if code in _SIZES else "" if code == TEXT else b""
            setattr(self, name, values.pop(name, default))
        if values:
            raise StateError(f"{type(self).__name__} has no field {next(iter(values))}")

    def pack(self) -> bytes:
        out = b""
        for name, code in self.FIELDS:
            value = getattr(self, name)
            if code in _SIZES:
                if not 0 <= value < 1 << 8 * _SIZES[code]:
                    raise StateError(f"{type(self).__name__}.{name} = {value} is out of range")
                out += struct.pack("<" + code, value)
                continue
            data = value.encode() if code == TEXT else bytes(value)
            if code != REST:
                if len(data) > 255:
                    raise StateError(f"{type(self).__name__}.{name} is too long")
                out += bytes([len(data)])
            out += data
        return out

    def __repr__(self) -> str:
        fields = [f"{name}={getattr(self, name)}" for name, _ in self.FIELDS]
        return type(self).__name__ + "(" + ", ".join(fields) + ")"

    @classmethod
    def unpack(cls, payload: bytes) -> "Message":
        """The message whose fields take up all of this payload. Raises WireError."""
        values: dict[str, int | str | bytes] = {}
        at = 0
        for name, code in cls.FIELDS:
            size = _SIZES.get(code, 0)
            if code in (TEXT, BYTES):
                size = payload[at] if at < len(payload) else 256
                at += 1
            elif code == REST:
                size = len(payload) - at
            part = payload[at : at + size]
            if len(part) != size:
                raise WireError(f"{cls.__name__} is cut short in {name}")
            at += size
            if code == TEXT:
                try:
                    values[name] = part.decode()
                except UnicodeError:
                    raise WireError(f"{cls.__name__}.{name} is not text")
            elif code in _SIZES:
                values[name] = struct.unpack("<" + code, part)[0]
            else:
                values[name] = part
        if at != len(payload):
            raise WireError(f"{cls.__name__} has {len(payload) - at} bytes too many")
        return cls(**values)
