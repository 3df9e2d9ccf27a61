"""tests/fixtures/npy: arrays by numpy.save, numpy.savez and numpy.savez_compressed; values are i / 4 - 3 where the type has them."""

import io

import numpy

from common import folder

TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


def values(dtype, *shape):
    n = int(numpy.prod(shape))
    base = numpy.arange(n) if dtype.startswith("u") else numpy.arange(n) - 5 if dtype.startswith("i") else numpy.arange(n) / 4 - 3
    return base.reshape(shape).astype("<" + dtype)


def main():
    path = folder("npy")
    numpy.savez(path / "types.npz", **{t: values(t, 2, 3, 4) for t in TYPES}, bool=values("i1", 6) % 2 == 0)
    numpy.savez_compressed(path / "forms.npz", fortran=numpy.asfortranarray(values("f4", 3, 5)),
                           fortran3=numpy.asfortranarray(values("f8", 2, 3, 4)), scalar=numpy.float64(2.5),
                           empty=numpy.zeros((0, 3), "f4"), row=values("f4", 7), text=numpy.array("naïve 😀 text"),
                           bytes=numpy.array(b"plain"))
    numpy.savez_compressed(path / "stats.npz", mu=values("f8", 4), sigma=values("f8", 4, 4))
    numpy.save(path / "rows.npy", values("f4", 6, 5))
    numpy.save(path / "wide.npy", values("f8", 3))
    numpy.save(path / "objects.npy", numpy.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    numpy.save(path / "big.npy", values("f4", 3).astype(">f4"))
    numpy.save(path / "complex.npy", values("f4", 3).astype("c8"))
    numpy.save(path / "columns.npy", numpy.zeros(2, dtype=[("a", "f4"), ("b", "i4")]))
    for version in ((2, 0), (3, 0)):
        out = io.BytesIO()
        numpy.lib.format.write_array(out, values("f4", 2, 2), version=version)
        (path / f"version{version[0]}.npy").write_bytes(out.getvalue())
    for file in path.iterdir():
        file.chmod(0o644)
    print("npy:", sum(f.stat().st_size for f in path.iterdir()) // 1024, "KiB")


main()
