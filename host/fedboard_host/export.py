"""Models out of fedboard, and back: npz for Python, a C header for Arduino, model.bin for a board.

    npz         W0 (n_out, n_in), b0 (n_out,), W1, b1, ... int16; sizes, rule, seed, version, digest
    C header    the same as static const int16_t, and fedboard_predict() in the board's arithmetic
    model.bin   fedboard.checkpoint, which a board loads by itself

Nothing in here unpickles. Weights have 12 fractional bits under rule "fedboard" and the float ones
(whose C header is still missing); under "tifed" they are plain integers.
"""

from __future__ import annotations

import io
import re
import zipfile
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedboard import DataError, checkpoint
from fedboard.model import CENTRE_BITS, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Model:
    """A merged model. params: array("h"), laid out as in fedboard.model; version: merges behind."""

    spec: Spec
    version: int
    params: array[int]

    @property
    def digest(self) -> bytes:
        return self.spec.digest(self.params)


def write_npz(path: Path, model: Model) -> None:
    """Arrays W0, b0, W1, b1, ... (int16), and what tells how to use them."""
    import numpy as np

    flat = np.frombuffer(model.params, np.int16)
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int16]]] = {}
    for l in range(model.spec.n_layers):
        n_in, n_out = model.spec.shape(l)
        at = model.spec.at(l)
        arrays[f"W{l}"] = flat[at : at + n_in * n_out].reshape(n_out, n_in)
        arrays[f"b{l}"] = flat[at + n_in * n_out : model.spec.at(l + 1)]
    data = io.BytesIO()
    np.savez(
        data,
        allow_pickle=False,
        sizes=np.array(model.spec.sizes, np.int32),
        rule=np.array(model.spec.rule),
        seed=np.array(model.spec.seed, np.uint32),
        version=np.array(model.version, np.uint32),
        digest=np.array(model.digest.hex()),
        **arrays,
    )
    write_whole(path, data.getvalue())


def read_npz(path: Path) -> Model:
    """The model in an npz of write_npz(). Raises DataError unless all of it is sound."""
    import numpy as np

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
            spec = Spec([int(n) for n in data["sizes"]], str(data["rule"]), int(data["seed"]))
            params = array("h")
            for l in range(spec.n_layers):
                n_in, n_out = spec.shape(l)
                for name, shape in ((f"W{l}", (n_out, n_in)), (f"b{l}", (n_out,))):
                    part = data[name]
                    if part.shape != shape or part.dtype != np.int16:
                        raise DataError(
                            f"{path}: {name} is {part.dtype}{list(part.shape)}, "
                            f"int16{list(shape)} is wanted: export it again"
                        )
                    params.frombytes(np.ascontiguousarray(part).tobytes())
            model = Model(spec, int(data["version"]), params)
            digest = str(data["digest"])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no model of `fedboard export`: {error}") from None
    if digest != model.digest.hex():
        raise DataError(f"{path}: the weights do not match their digest: export it again")
    return model


def write_bin(path: Path, model: Model) -> None:
    """The checkpoint that a board loads from its flash."""
    data = io.BytesIO()
    checkpoint.write_checkpoint(data.write, model.spec, model.version, model.params)
    write_whole(path, data.getvalue())


def write_c_header(path: Path, model: Model, name: str = "fedboard") -> None:
    write_whole(path, c_header(model, name).encode())


def c_header(model: Model, name: str = "fedboard") -> str:
    """A header for C99 and Arduino: NAME_W0, NAME_b0, ... and NAME_predict(x, logits)."""
    if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", name):
        raise DataError(f"'{name}' is no name in C: use letters, digits and _")
    spec = model.spec
    if spec.is_float:
        raise DataError(
            f"no C header for rule {spec.rule}: use --npz, whose weights divided by 4096 are floats"
        )
    if spec.n_conv:
        raise DataError(f"no C header for rule {spec.rule} yet: use --npz or --bin")
    guard = f"{name.upper()}_MODEL_H"
    shape = "-".join(str(n) for n in spec.sizes)
    bits = "plain integers" if spec.rule == "tifed" else "12 fractional bits"
    parts = [
        f"/* {name}: a model of {shape}, rule {spec.rule}, trained by fedboard.",
        f" * version {model.version}, digest {model.digest.hex()}, {2 * spec.n_params} bytes.",
        f" * Parameters are int16, {bits}. Layer l maps in[] to out[]:",
        " *   W[j * n_in + i]  weight from input i to output j     b[j]  bias of output j",
        " * Inputs are the int8 features that the boards trained on. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "#include <stdint.h>",
        "",
        f"#define {name.upper()}_N_IN {spec.sizes[0]}",
        f"#define {name.upper()}_N_OUT {spec.sizes[-1]}",
    ]
    if spec.is_centred:
        parts += [
            "",
            "/* the mean of the inputs, which is subtracted first */",
            f"static const int8_t {name}_mean[{spec.sizes[0]}] = {{",
            *_rows(_means(model)),
            "};",
        ]
        spec = spec.dense()
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        at = spec.at(l)
        bias_at = at + n_in * n_out
        parts += [
            "",
            f"/* layer {l}: {n_in} inputs, {n_out} outputs, row-major per output */",
            f"static const int16_t {name}_W{l}[{n_in * n_out}] = {{",
            *_rows(model.params[at:bias_at]),
            "};",
            f"static const int16_t {name}_b{l}[{n_out}] = {{",
            *_rows(model.params[bias_at : spec.at(l + 1)]),
            "};",
        ]
    parts += ["", *_C_RULES[spec.rule].format(name=name).splitlines(), ""]
    parts += _predict(spec, name, model.spec.is_centred)
    parts += ["", f"#endif /* {guard} */", ""]
    return "\n".join(parts)


def _rows(values: Iterable[int]) -> list[str]:
    """Lines of at most 12 numbers."""
    texts = [str(v) for v in values]
    return ["  " + ", ".join(texts[at : at + 12]) + "," for at in range(0, len(texts), 12)]


def _means(model: Model) -> list[int]:
    return [c + (1 << CENTRE_BITS >> 1) >> CENTRE_BITS for c in model.params[: model.spec.at(1)]]


def _predict(spec: Spec, name: str, is_centred: bool) -> list[str]:
    widest = max(spec.sizes[1:-1], default=1)
    last = spec.n_layers - 1
    lines = [
        f"/* The class of x[{spec.sizes[0]}]; logits[{spec.sizes[-1]}] may be NULL. Computes the",
        " * same integers as a board. */",
        f"static inline int {name}_predict(const int8_t *x, int32_t *logits) {{",
        f"  int8_t a[2][{widest}];",
        f"  int32_t out[{spec.sizes[-1]}];",
        "  int j, best = 0;",
    ]
    source = "x"
    if is_centred:
        n = spec.sizes[0]
        source = "seen"
        lines += [
            f"  int8_t seen[{n}];",
            f"  for (j = 0; j < {n}; j++) {{",
            f"    int v = x[j] - {name}_mean[j];",
            "    seen[j] = (int8_t)(v < -127 ? -127 : v > 127 ? 127 : v);",
            "  }",
        ]
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        target = f"a[{l % 2}]" if l < last else "out"
        kind = "hidden" if l < last else "output"
        lines += [
            f"  for (j = 0; j < {n_out}; j++)",
            f"    {target}[j] = {name}_{kind}({name}_sum("
            f"{source}, {name}_W{l} + j * {n_in}, {n_in}, {name}_b{l}[j], {int(l > 0)}), {n_in});",
        ]
        source = target
    lines += [
        f"  for (j = 0; j < {spec.sizes[-1]}; j++) {{",
        "    if (logits) logits[j] = out[j];",
        "    if (out[j] > out[best]) best = j;",
        "  }",
        "  return best;",
        "}",
    ]
    if last == 0:
        lines.remove(f"  int8_t a[2][{widest}];")
    return lines


# How each rule computes: the same integers as fedboard.kernels and fedboard.rules.
_C_RULES = {
    "fedboard": """\
static inline int32_t {name}_sum(const int8_t *x, const int16_t *w, int n, int16_t b, int deep) {{
  int32_t sum = (int32_t)b * 128; /* the bias is the weight of a constant 1.0 */
  (void)deep;
  while (n--) sum += (int32_t)*x++ * *w++;
  return sum;
}}
static inline int8_t {name}_hidden(int32_t sum, int n) {{ /* ReLU */
  (void)n;
  sum >>= 12; /* arithmetic shift, as every compiler in use does */
  return (int8_t)(sum < 0 ? 0 : sum > 127 ? 127 : sum);
}}
static inline int32_t {name}_output(int32_t sum, int n) {{
  (void)n;
  return sum >> 12;
}}""",
    "tifed": """\
static inline int32_t {name}_sum(const int8_t *x, const int16_t *w, int n, int16_t b, int deep) {{
  int32_t sum = 0; /* hidden activations are kept negated: their range is [-127, 128] */
  while (n--) sum += (int32_t)*x++ * *w++;
  return (deep ? -sum : sum) + b;
}}
static inline int32_t {name}_tanh(int32_t sum, int n) {{ /* by pieces of sum / 256 n, all floors */
  int32_t d = 256 * (int32_t)n, v = sum / d - (sum % d < 0);
  if (v >= 128) return 128;
  if (v >= 75) return v / 4 + 88;
  if (v >= 32) return v + 32;
  if (v >= -31) return 2 * v;
  if (v >= -74) return v - 32;
  if (v >= -127) return (v - 3) / 4 - 88;
  return -127;
}}
static inline int8_t {name}_hidden(int32_t sum, int n) {{ return (int8_t)-{name}_tanh(sum, n); }}
static inline int32_t {name}_output(int32_t sum, int n) {{ return {name}_tanh(sum, n); }}""",
}


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing: write beside the target, then rename."""
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
