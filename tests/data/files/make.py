"""Makes the files beside it: sixty invented patients as CSV, gzip and Parquet, and Parquet files with a fault. pyarrow 26."""
import gzip
import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
NAMES = ["id", "age", "days", "weight", "sex", "code", "test", "back"]

random.seed(1)
rows = [(1000 + i % 50, f"[{i % 10 * 10}-{i % 10 * 10 + 10})", i % 15, round(random.uniform(40, 120), 3),
         random.choice(["Male", "Female", "?"]), random.choice(["250.83", "V57", "428", "786.5", "?", "E909", "8"]),
         random.choice(["None", "Norm", ">7", "?"]), random.choice(["yes", "no"])) for i in range(60)]
text = ",".join(NAMES) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
(HERE / "patients.csv").write_text(text)
(HERE / "patients.csv.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))

ids, age, days, weight, sex, code, test, back = zip(*rows)


def nulls(cells):
    return [None if cell == "?" else cell for cell in cells]


def write(name, **changed):
    columns = {"id": pa.array(ids, pa.int64()), "age": pa.array(age), "days": pa.array(days, pa.int8()),
               "weight": pa.array(weight, pa.float64()), "sex": pa.array(nulls(sex)).dictionary_encode(),
               "code": pa.array(nulls(code), pa.large_string()), "test": pa.array(nulls(test)), "back": pa.array(back)}
    groups = 60 if changed else 25  # several row groups, so that a column comes in several chunks
    pq.write_table(pa.table(columns | changed), HERE / f"{name}.parquet", compression="snappy", row_group_size=groups)


write("patients")
write("not_finite", weight=pa.array([{4: float("nan"), 7: float("inf")}.get(i, x) for i, x in enumerate(weight)]))
write("list_column", days=pa.array([[x] for x in days]))
write("timestamp_column", days=pa.array([x * 86400 for x in days], pa.timestamp("s")))
