"""A recipe's weights by NumPy alone: a "linear" circuit, exact, the "centered" map, its parity."""

import json

import numpy as np


def bits(seed, index):  # Philox4x64-10 of the counters (k, index, 0, 0); 2 is for maps
    for k in range(2**64):
        c, key = (k, index, 0, 0), (seed, 2)
        for _ in range(10):
            left, right = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
            c = right >> 64 ^ c[1] ^ key[0], right % 2**64, left >> 64 ^ c[3] ^ key[1], left % 2**64
            key = (key[0] + 0x9E3779B97F4A7C15) % 2**64, (key[1] + 0xBB67AE8584CAA73B) % 2**64
        yield from c


def shuffled(size, count, stream):  # the first so many of a permutation, by Fisher and Yates
    items = np.arange(size)
    for k, n in enumerate(range(size, size - count, -1)):
        product = next(p for p in (bit * n for bit in stream) if p % 2**64 >= 2**64 % n)
        items[[k, k + (product >> 64)]] = items[[k + (product >> 64), k]]
    return items[:count]


def read_recipe(path):  # all weights, float64, and of each: its two bases, its sign
    content = np.fromfile(path, np.uint8).tobytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    told = json.loads(json.loads(header["__metadata__"]["qnnw"])["description"])["source"]
    n, size, seed = told["circuit"]["num_qubits"], told["map"]["num_weights"], told["map"]["seed"]
    kind = {"F32": "<f4", "F64": "<f8"}[header["angles"]["dtype"]]
    ends = [header[name]["data_offsets"] for name in ("angles", "gamma")]
    angles, gamma = (np.frombuffer(content[start + a : start + b], kind) for a, b in ends)
    basis, state = np.arange(2**n), np.full(2**n, 2 ** (-n / 2), complex)  # after Hadamards
    for layer, (ry, rz) in enumerate(angles.astype(float).reshape(-1, 2, n)):
        state = state[(basis ^ basis << 1) % 2**n] if layer else state  # CNOTs 0→1, 1→2, …
        for q, (half, turn) in enumerate(zip(ry / 2, rz / 2, strict=True)):
            bit = 2 * (basis >> q & 1) - 1
            state = np.cos(half) * state + np.sin(half) * bit * state[basis ^ 1 << q]
            state = state * np.exp(1j * turn * bit)
    bases = shuffled(2**n, 2**n, bits(seed, 0))
    first, second, signs = bases[:size], bases[:size].copy(), np.arange(size) % 2 * 2 - 1
    second[shuffled(size, 2**n - size, bits(seed, 1))] = bases[size:]
    mean = (np.abs(state[first]) ** 2 + np.abs(state[second]) ** 2) / 2
    scale, u = np.repeat(*zip(*told["scale"], strict=True)), gamma.astype(float)
    return scale * u * np.tanh(signs * u * (2**n * mean - 1)), first, second, signs
