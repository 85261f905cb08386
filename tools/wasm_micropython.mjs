// Runs a Python file in MicroPython's WebAssembly build, much as the unix port would:
//
//   node wasm_micropython.mjs PACKAGE [--heap BYTES] [--path DIR]... SCRIPT [ARG]...
//   node wasm_micropython.mjs PACKAGE -c CODE
//
// The interpreter sees only a file system in memory. The script's folder, every --path DIR (they
// become sys.path) and every ARG that names a file or folder are copied into it, at the same place;
// what the script writes there is lost. Standard output is passed on byte for byte.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

function fail(text) {
  process.stderr.write(`wasm_micropython: ${text}\n`);
  process.exit(2);
}

const [packageDir, ...rest] = process.argv.slice(2);
if (!packageDir) fail("say the folder of the npm package, then the script");
let heapBytes = 16 << 20;
let code = null;
const paths = [];
while (rest.length && rest[0].startsWith("-")) {
  const option = rest.shift();
  if (option === "--heap") heapBytes = Number(rest.shift());
  else if (option === "--path") paths.push(path.resolve(rest.shift()));
  else if (option === "-c") code = rest.shift();
  else fail(`unknown option ${option}`);
}
if (code === null && !rest.length) fail("say a script, or -c CODE");

const pieces = [];
const url = pathToFileURL(path.resolve(packageDir, "micropython.mjs"));
const { loadMicroPython } = await import(url);
const mp = await loadMicroPython({
  heapsize: heapBytes,
  pystack: 16384,
  linebuffer: false,
  stdout: (bytes) => pieces.push(bytes[0]),
  stderr: (bytes) => process.stderr.write(bytes),
});

function inside(name) {
  // C:\x\y.py becomes /C/x/y.py; on other systems names stay what they are.
  const whole = path.resolve(name).split(path.sep).join("/").replace(":", "");
  return whole.startsWith("/") ? whole : `/${whole}`;
}

function copy(name) {
  const stat = fs.statSync(name);
  if (stat.isDirectory()) {
    mp.FS.mkdirTree(inside(name));
    for (const entry of fs.readdirSync(name)) {
      if (entry !== "__pycache__" && !entry.startsWith(".")) copy(path.join(name, entry));
    }
  } else if (stat.isFile()) {
    mp.FS.mkdirTree(path.posix.dirname(inside(name)));
    mp.FS.writeFile(inside(name), fs.readFileSync(name));
  }
}

let name = "<string>";
let argv = ["-c"];
if (code === null) {
  const script = path.resolve(rest.shift());
  const home = path.dirname(script);
  for (const dir of [home, ...paths]) copy(dir);
  const args = rest.map((each) => {
    if (!fs.existsSync(each)) return each;
    copy(each);
    return inside(each);
  });
  name = inside(script);
  code = fs.readFileSync(script, "utf8");
  paths.unshift(home);
  argv = [name, ...args];
}
mp.globals.set("_run", JSON.stringify({ name, code, argv, path: paths.map(inside) }));

let status = 0;
try {
  mp.runPython(`
import sys, json
_run = json.loads(_run)
sys.path[:] = _run["path"] + [".frozen"]
sys.argv[:] = _run["argv"]
__file__ = _run["name"]
_status = 0
try:
    exec(compile(_run["code"], _run["name"], "exec"))
except SystemExit as _stop:
    _status = _stop.args[0] if _stop.args else 0
    if _status is None:
        _status = 0
    elif not isinstance(_status, int):
        print(_status)
        _status = 1
`);
  status = Number(mp.globals.get("_status"));
} catch (error) {
  process.stderr.write(`${error.message ?? error}\n`);
  status = 1;
}

const output = Buffer.from(pieces);
let written = 0;
while (written < output.length) {
  try {
    written += fs.writeSync(1, output, written);
  } catch (error) {
    if (error.code !== "EAGAIN") throw error; // the reader is slow
  }
}
process.exit(status);
