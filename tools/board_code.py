"""Reads a file of shared/ or device/ and says what would not run on every board.

    problems(source, room, name) -> ["line 12: ...", ...]        room: "shared" or "device"

CPython 3.11, MicroPython 1.22 and CircuitPython 9 must all take the file. mpy-cross finds what is
not syntax there; this finds what is syntax, but is missing or means something else. The list grew
out of trials on those interpreters; tests/test_layout.py runs it, and tests each rule.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# shared/ does no I/O and reads no clock, so it needs no more than this.
SHARED_IMPORTS = {"array", "binascii", "gc", "hashlib", "math", "struct", "sys", "fedboard"}
# What device/ may not import: absent on a board, or another room.
MISSING = {
    "__future__", "abc", "argparse", "base64", "contextlib", "copy", "dataclasses", "datetime",
    "enum", "fedboard_host", "functools", "hmac", "itertools", "logging", "multiprocessing",
    "numpy", "operator", "pathlib", "queue", "secrets", "shutil", "signal", "string", "subprocess",
    "tempfile", "threading", "traceback", "types", "typing", "typing_extensions", "unittest",
    "uuid", "warnings", "weakref", "zlib",
}  # fmt: skip
ABSENT_METHODS = {
    "bit_count", "bit_length", "byteswap", "buffer_info", "cast", "casefold", "expandtabs",
    "frombytes", "fromlist", "hexdigest", "isidentifier", "isprintable", "ljust", "maketrans",
    "removeprefix", "removesuffix", "rjust", "swapcase", "title", "tobytes", "tolist",
    "translate", "zfill",
}  # fmt: skip
NATIVE_CODE = {"asm_rv32", "asm_thumb", "asm_xtensa", "asm_xtensawin", "native", "viper"}
NO_KEYWORD = {"zip": "strict", "print": "flush"}


def problems(source: str, room: str, name: str) -> list[str]:
    """What is wrong with the file called `name` in `room`, one line each, in order."""
    found = []
    tree = ast.parse(source)
    for node in runtime_nodes(tree):
        for text in _complaints(node, room, name):
            found.append((getattr(node, "lineno", 0), text))
    return [f"line {line}: {text}" for line, text in sorted(found)]


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker looks at."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from runtime_nodes(other)
        else:
            yield child
            yield from runtime_nodes(child)


def imported(node: ast.AST) -> list[str]:
    """The top names of the modules that a node imports; a relative import is the own package."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [(node.module or "").split(".")[0]]
    return []


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _complaints(node: ast.AST, room: str, name: str) -> Iterator[str]:
    for module in imported(node):
        if room == "shared" and module not in SHARED_IMPORTS:
            yield f"import of {module}: shared/ may import {', '.join(sorted(SHARED_IMPORTS))}"
        elif module in MISSING:
            yield f"import of {module}: no board has it (only under `if TYPE_CHECKING:`)"
    if isinstance(node, ast.Match):
        yield "match statement: use if/elif"
    elif isinstance(node, (ast.TryStar, ast.ExceptHandler)):
        if isinstance(node, ast.TryStar):
            yield "except*: no board has exception groups"
        elif node.type is None:
            yield "bare except: it swallows Ctrl-C; name the exceptions"
    elif isinstance(node, ast.Raise) and node.cause is not None:
        yield "raise ... from: MicroPython prints a warning; raise without it"
    elif isinstance(node, ast.arguments) and node.posonlyargs:
        yield "positional-only parameters: `/` is a syntax error on MicroPython"
    elif isinstance(node, (ast.List, ast.Tuple, ast.Set)) and isinstance(
        getattr(node, "ctx", None) or ast.Load(), ast.Load
    ):
        if any(isinstance(item, ast.Starred) for item in node.elts):
            yield "[*a]: unpacking in a display; concatenate instead"
    elif isinstance(node, ast.Dict) and None in node.keys:
        yield "{**d}: unpacking in a display; use update()"
    elif isinstance(node, ast.ClassDef) and node.keywords:
        yield "class keywords: no board has metaclasses"
    elif isinstance(node, ast.JoinedStr):
        yield from _f_string(node)
    elif isinstance(node, ast.Call):
        yield from _call(node, room, name)
    elif isinstance(node, ast.FunctionDef) and not name.startswith("kernels_"):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Attribute) and decorator.attr in NATIVE_CODE:
                yield f"@{decorator.attr}: native code belongs into a file kernels_*.py"


def _f_string(node: ast.JoinedStr) -> Iterator[str]:
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            if part.conversion != -1:
                yield "f-string conversion (!r, !s or =): call repr() or str()"
        elif isinstance(part, ast.Constant) and set("{}") & set(str(part.value)):
            yield "braces in the text of an f-string: in a joined literal they become a field"


def _call(node: ast.Call, room: str, name: str) -> Iterator[str]:
    keywords = {keyword.arg for keyword in node.keywords}
    if isinstance(node.func, ast.Name):
        function = node.func.id
        if function == "print" and room == "shared":
            yield "print: shared/ does no output"
        if function in NO_KEYWORD and NO_KEYWORD[function] in keywords:
            yield f"{function}({NO_KEYWORD[function]}=): no board knows it"
    elif isinstance(node.func, ast.Attribute):
        method = node.func.attr
        if method in ("from_bytes", "to_bytes"):
            order = node.args[1] if len(node.args) == 2 else None
            little = isinstance(order, ast.Constant) and order.value == "little"
            if not little or keywords:
                yield f'{method}: only (..., "little"), positional and unsigned'
        elif (name, method) == ("kernels_ulab.py", "tolist"):
            pass  # ulab's arrays have it
        elif method in ABSENT_METHODS or ast.unparse(node.func) in ("math.isqrt", "math.gcd"):
            yield f".{method}(): some boards lack it"
