"""A model as a header for C99 and Arduino: its parameters, and a function that uses them.

    NAME_W0, NAME_b0, ...    static const int16_t, as the board has them
    NAME_predict(x, logits)  the class of the int8 features x; logits[NAME_N_OUT] may be NULL

With the integer rules it computes the board's integers, bit for bit; logits are int32_t. With the
float rules they are float, the same as a board's but for rounding; under "float-squared", which
predicts numbers, NAME_predict(x, y) returns nothing.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable

from fedboard import DataError
from fedboard.ckernels import WEIGHT_BITS
from fedboard.mlp import KINDS, WIRE_BITS
from fedboard.model import CENTRE_BITS, KERNEL, STRIDE, Spec


def text_of(spec: Spec, params: array[int], version: int, name: str = "fedboard") -> str:
    """params: as model.Spec lays them out. Raises DataError for what is no name in C."""
    if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", name):
        raise DataError(f"'{name}' is no name in C: use letters, digits and _")
    guard = f"{name.upper()}_MODEL_H"
    shape = "-".join(str(n) for n in (spec.sizes[1:] if spec.is_centred else spec.sizes))
    bits = "plain integers" if spec.rule == "tifed" else f"{_bits(spec)} fractional bits"
    digest = spec.digest(params).hex()
    is_tanh = spec.is_float and KINDS[spec.rule][1] == "tanh"
    parts = [
        f"/* {name}: a model of {shape}, rule {spec.rule}, trained by fedboard.",
        f" * version {version}, digest {digest}, {2 * spec.n_params} bytes.",
        f" * Parameters are int16, {bits}. Layer l maps in[] to out[]:",
        " *   W[j * n_in + i]  weight from input i to output j     b[j]  bias of output j",
        " * Inputs are the int8 features that the boards trained on. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        *(["#include <math.h>"] if is_tanh else []),
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        f"#define {name.upper()}_N_IN {spec.sizes[0]}",
        f"#define {name.upper()}_N_OUT {spec.sizes[-1]}",
    ]
    if spec.is_centred:
        means = [c + (1 << CENTRE_BITS >> 1) >> CENTRE_BITS for c in params[: spec.at(1)]]
        parts += [
            "",
            "/* the mean of the inputs, which is subtracted first */",
            f"static const int8_t {name}_mean[{spec.sizes[0]}] = {{",
            *_rows(means),
            "};",
        ]
    own = spec.dense()
    for l in range(own.n_layers):
        n_in, n_out = own.shape(l)
        bias_at = own.at(l) + n_in * n_out
        what = f"3x3 convolution, {n_in} inputs" if l < own.n_conv else f"{n_in} inputs"
        parts += [
            "",
            f"/* layer {l}: {what}, {n_out} outputs, row-major per output */",
            f"static const int16_t {name}_W{l}[{n_in * n_out}] = {{",
            *_rows(params[own.at(l) : bias_at]),
            "};",
            f"static const int16_t {name}_b{l}[{n_out}] = {{",
            *_rows(params[bias_at : own.at(l + 1)]),
            "};",
        ]
    kind = "conv" if spec.n_conv else own.rule if own.rule in _C_RULES else "float"
    parts += ["", *_C_RULES[kind].format(name=name).splitlines(), ""]
    if spec.is_float:
        parts += _predict_float(spec, name)
    elif spec.n_conv:
        parts += _predict_conv(spec, name)
    else:
        parts += _predict(own, name, spec.is_centred)
    parts += ["", f"#endif /* {guard} */", ""]
    return "\n".join(parts)


def _bits(spec: Spec) -> int:
    return WEIGHT_BITS if spec.n_conv else WIRE_BITS


def _rows(values: Iterable[int]) -> list[str]:
    """Lines of at most 12 numbers."""
    texts = [str(v) for v in values]
    return ["  " + ", ".join(texts[at : at + 12]) + "," for at in range(0, len(texts), 12)]


def _best(n_out: int) -> list[str]:
    return [
        f"  for (j = 0; j < {n_out}; j++) {{",
        "    if (logits) logits[j] = out[j];",
        "    if (out[j] > out[best]) best = j;",
        "  }",
        "  return best;",
        "}",
    ]


def _predict(spec: Spec, name: str, is_centred: bool) -> list[str]:
    last = spec.n_layers - 1
    lines = [
        f"/* The class of x[{spec.sizes[0]}]; logits[{spec.sizes[-1]}] may be NULL. Computes the",
        " * same integers as a board. */",
        f"static inline int {name}_predict(const int8_t *x, int32_t *logits) {{",
        *([f"  int8_t a[2][{max(spec.sizes[1:-1])}];"] if last else []),
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
    return lines + _best(spec.sizes[-1])


def _predict_conv(spec: Spec, name: str) -> list[str]:
    n = spec.sides[0]
    last = spec.n_layers - 1
    units = [
        n_out * (spec.sides[l + 1] ** 2 if l < spec.n_conv else 1)
        for l, n_out in enumerate(spec.sizes[1:-1])
    ]
    lines = [
        f"/* The class of the image x[{n} * {n}]; logits[{spec.sizes[-1]}] may be NULL.",
        " * Computes the same integers as a board. */",
        f"static inline int {name}_predict(const int8_t *x, int32_t *logits) {{",
        *(f"  int8_t a{k}[{max(units[k::2])}];" for k in range(min(2, last))),
        f"  int32_t out[{spec.sizes[-1]}];",
        "  int j, best = 0;",
    ]
    source = "x"
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        shape = f"1, {n_in}, 0, 1, 0, 0"
        if l < spec.n_conv:
            channels = spec.sizes[l] if l else 1
            pitch = spec.sides[l] * channels
            shape = f"{KERNEL}, {KERNEL * channels}, {pitch}, {spec.sides[l + 1]}, "
            shape += f"{STRIDE * channels}, {STRIDE * pitch}"
        target = f"a{l % 2}, NULL" if l < last else "NULL, out"
        lines.append(
            f"  {name}_layer({source}, {name}_W{l}, {name}_b{l}, {shape}, {n_out}, {target});"
        )
        source = f"a{l % 2}"
    return lines + _best(spec.sizes[-1])


def _predict_float(spec: Spec, name: str) -> list[str]:
    loss, hidden, x_bits = KINDS[spec.rule]
    last = spec.n_layers - 1
    is_class = loss == "softmax"
    n_in, n_out = spec.sizes[0], spec.sizes[-1]
    does = f"The class of x[{n_in}]; logits" if is_class else f"Numbers for x[{n_in}]: y"
    optional = " may be NULL" if is_class else ""
    lines = [
        f"/* {does}[{n_out}]{optional}. */",
        f"static inline {'int' if is_class else 'void'} {name}_predict("
        f"const int8_t *x, float *{'logits' if is_class else 'y'}) {{",
        f"  float a[2][{max(spec.sizes[:-1])}]{f', out[{n_out}]' if is_class else ''};",
        f"  int j{', best = 0' if is_class else ''};",
        f"  for (j = 0; j < {n_in}; j++) a[0][j] = x[j] / {1 << x_bits}.0f;",
    ]
    for l in range(spec.n_layers):
        fan_in = spec.sizes[l]
        target = f"a[{(l + 1) % 2}]" if l < last else "out" if is_class else "y"
        total = f"{name}_sum(a[{l % 2}], {name}_W{l} + j * {fan_in}, {fan_in}, {name}_b{l}[j])"
        if l < last:
            total = f"tanhf({total})" if hidden == "tanh" else f"{name}_relu({total})"
        lines += [f"  for (j = 0; j < {spec.sizes[l + 1]}; j++)", f"    {target}[j] = {total};"]
    return lines + (_best(n_out) if is_class else ["}"])


# How each rule computes: the integers of fedboard.kernels, rules and ckernels.
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
    "conv": """\
/* side * side windows, each rows of `row` inputs that are `pitch` apart; to a (ReLU), or to out */
static inline void {name}_layer(const int8_t *x, const int16_t *w, const int16_t *b, int rows,
                                int row, int pitch, int side, int step, int jump, int n_out,
                                int8_t *a, int32_t *out) {{
  for (int v = 0; v < side; v++)
    for (int u = 0; u < side; u++)
      for (int j = 0; j < n_out; j++) {{
        int32_t sum = (int32_t)b[j] * 128; /* the bias is the weight of a constant 1.0 */
        for (int r = 0; r < rows; r++)
          for (int i = 0; i < row; i++)
            sum += (int32_t)x[v * jump + u * step + r * pitch + i] * w[(j * rows + r) * row + i];
        sum >>= 14; /* arithmetic shift, as every compiler in use does */
        if (out)
          *out++ = sum;
        else
          *a++ = (int8_t)(sum < 0 ? 0 : sum > 127 ? 127 : sum);
      }}
}}""",
    "float": """\
static inline float {name}_sum(const float *x, const int16_t *w, int n, int16_t b) {{
  float sum = b;
  while (n--) sum += *x++ * *w++;
  return sum / 4096;
}}""",
}
_C_RULES["float-relu"] = (
    _C_RULES["float"]
    + """
static inline float {name}_relu(float v) {{ return v > 0 ? v : 0; }}"""
)
