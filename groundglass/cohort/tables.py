"""The tables of a cohort, as Parquet: a row a case, a row a region, a row a box.

A study without an eligible series has one row among the cases too, so that no study is lost from the count. The tables
hold the UIDs that result.json holds, and no other identifier.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from groundglass.cohort.results import RESULT_FILE, Results
from groundglass.dicomio.writing.files import output_failure

_TEXT, _COUNT, _REAL = pa.string(), pa.int32(), pa.float64()
_KEY = {"study": _TEXT, "case": _TEXT, "study_instance_uid": _TEXT, "series_instance_uid": _TEXT}

SCHEMAS = {
    "cases": pa.schema(
        {
            **_KEY,
            **dict.fromkeys(("status", "reason_code", "state", "kind", "label"), _TEXT),
            **dict.fromkeys(("p_pneumonia", "p_np", "p_cap", "p_covid19"), _REAL),
            **dict.fromkeys(("lungs_ml", "right_ml", "left_ml", "salient_fraction"), _REAL),
            **dict.fromkeys(("slices", "slices_explained", "boxes", "regions", "unlisted_regions"), _COUNT),
            **dict.fromkeys(("regions_ml", "seconds"), _REAL),
            **dict.fromkeys(("device", "version", "preview"), _TEXT),
        }
    ),
    "regions": pa.schema(
        {
            **_KEY,
            "state": _TEXT,
            "number": _COUNT,
            **dict.fromkeys(("side", "third"), _TEXT),
            **dict.fromkeys(("contribution", "volume_ml"), _REAL),
            **dict.fromkeys(("first_slice", "last_slice", "best_slice", "boxes"), _COUNT),
        }
    ),
    "boxes": pa.schema(
        {
            **_KEY,
            "sop_instance_uid": _TEXT,
            "frame_number": _COUNT,
            "label": _TEXT,
            **dict.fromkeys(("region", "slice_index", "column_min", "row_min", "column_max", "row_max"), _COUNT),
            **dict.fromkeys(("area_mm2", "score", "share"), _REAL),
        }
    ),
}
"""Columns of each table; their names are those of result.json where it has them."""

_ROWS_AT_A_TIME = 10_000

Row = dict[str, Any]


def write_tables(results: Results) -> None:
    """Write the three tables of all finished studies; each file appears whole.

    One study's results are in memory at a time, and some thousand rows.

    Raises:
        OutputFailed: the disk is full, or can't be written.
    """
    try:
        _write_tables(results)
    except OSError as error:
        raise output_failure(error) from error


def _write_tables(results: Results) -> None:
    files = {name: results.folder / f".{name}.parquet.part" for name in SCHEMAS}
    waiting: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    with ExitStack() as stack:
        # pyarrow takes a path as text in UTF-8 only, which a path needn't be.
        opened = {name: stack.enter_context(file.open("wb")) for name, file in files.items()}
        writers = {
            name: stack.enter_context(parquet.ParquetWriter(file, SCHEMAS[name])) for name, file in opened.items()
        }
        for folder in results.finished():
            for name, rows in rows_of(folder, results.folder).items():
                waiting[name] += rows
                if len(waiting[name]) >= _ROWS_AT_A_TIME:
                    _write(writers[name], name, waiting[name])
        for name, writer in writers.items():
            _write(writer, name, waiting[name])
    for name in files:
        os.replace(files[name], results.folder / f"{name}.parquet")


def _write(writer: parquet.ParquetWriter, name: str, rows: list[Row]) -> None:
    writer.write_table(pa.Table.from_pylist(rows, SCHEMAS[name]))
    rows.clear()


def read_cases(results: Results, columns: Iterable[str]) -> list[Row]:
    """Some columns of the cases' table."""
    with (results.folder / "cases.parquet").open("rb") as file:
        rows: list[Row] = parquet.read_table(file, columns=list(columns)).to_pylist()
    return rows


def rows_of(folder: Path, root: Path) -> dict[str, list[Row]]:
    """The rows of one study, by table.

    Args:
        folder: with its results.
        root: what paths in the rows are relative to.
    """
    result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    software = {"device": result["software"]["device"], "version": result["software"]["version"]}
    if not result["cases"]:
        rows["cases"].append({"study": folder.name, "status": result["status"], **software})
    for case in result["cases"]:
        key = {"study": folder.name, **{name: case[name] for name in _KEY if name != "study"}}
        preview = next((name for name in case["outputs"] if name.endswith(".preview.png")), None)
        path = (folder / preview).relative_to(root).as_posix() if preview else None
        rows["cases"].append({**key, **_case(case), **software, "preview": path})
        rows["regions"] += _regions(case, key)
        rows["boxes"] += [{**key, **box} for box in case.get("boxes", ())]
    return rows


def _case(case: Row) -> Row:
    row = {
        "status": case["status"],
        "reason_code": case["reason"] and case["reason"]["code"],
        "seconds": sum(case["timings_s"].values()),
    }
    if case["status"] != "analysed":
        return row
    lungs, prediction = case["lungs"], case["prediction"]
    return {
        **row,
        **{name: prediction[name] for name in ("state", "kind", "label")},
        "p_pneumonia": prediction["pneumonia_probability"],
        **{f"p_{name}": value for name, value in prediction["probabilities"].items()},
        "lungs_ml": lungs["volume_ml"],
        "right_ml": lungs["right_ml"],
        "left_ml": lungs["left_ml"],
        "salient_fraction": case["salient_fraction"],
        "slices": len(case["slices"]),
        "slices_explained": sum(item["explained"] for item in case["slices"]),
        "boxes": len(case["boxes"]),
        "regions": len(case["regions"]),
        "unlisted_regions": case["unlisted_regions"],
        "regions_ml": sum(region["volume_ml"] for region in case["regions"]),
    }


def _regions(case: Row, key: Row) -> Iterator[Row]:
    names = ("number", "side", "third", "contribution", "volume_ml", "first_slice", "last_slice", "best_slice")
    for region in case.get("regions", ()):
        yield {
            **key,
            "state": case["prediction"]["state"],
            **{name: region[name] for name in names},
            "boxes": sum(box["region"] == region["number"] for box in case["boxes"]),
        }
