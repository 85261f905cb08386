"""Run by each interpreter: SHA-256 in Python equals hashlib's, in pieces of any size."""

import hashlib
from binascii import hexlify

from fedboard import auth
from fedboard.sha256 import Sha256

data = bytes([i * 7 & 255 for i in range(300)])
for n in (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 300):
    mine, its = Sha256(), hashlib.sha256()
    for at in range(0, n, 37):
        mine.update(data[at : min(at + 37, n)])
    its.update(data[:n])
    assert mine.digest() == its.digest() == mine.digest(), n
tag = auth.hmac_sha256(data[:32], data)
auth.hashlib = None
assert auth.hmac_sha256(data[:32], data) == tag
signer = auth.Signer(data[:32])
signed = signer.tag(memoryview(data)[3:200])
auth.hashlib = hashlib
assert signer.tag(memoryview(data)[3:200]) == signed
print(hexlify(tag).decode())
