"""A turn of the peer (`benchmarks.peer`) on a study of the application: its times, how far both agree."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from highdicom.seg import segread

from benchmarks.stage_times import run_apart

PEER_STAGES = ("start", "volume", "lungs", "classification", "saliency", "writing", "total")


def measure_peer(study: Path, results: Path, settings: Path) -> dict[str, float]:
    """One run of the peer in a process of its own, with the same names."""
    start = time.time()
    command = [sys.executable, "-m", "benchmarks.peer", str(study), str(results), "--settings", str(settings)]
    run_apart(command)
    total = time.time() - start
    told = json.loads((results / "peer.json").read_text(encoding="utf-8"))
    stages = told["seconds"]
    stages["start"] += total - sum(stages.values())  # imports, which come before its clock
    return {**stages, "total": total, "peak MiB": told["peak_mib"], "GPU MiB": told["gpu_mib"]}


def agreement(ours: Path, peer: Path) -> dict[str, float]:
    """How far two results are the same: the lungs' Dice, probabilities' largest difference, pixels boxes share."""
    theirs = np.load(peer / "peer.npz")
    uids = [str(uid) for uid in theirs["uids"]]
    case = json.loads((ours / "result.json").read_text(encoding="utf-8"))["cases"][0]
    segmentation = segread(ours / "case-001.seg.dcm")
    found = segmentation.get_pixels_by_source_instance(
        uids, segment_numbers=[1, 2], combine_segments=True, assert_missing_frames_are_empty=True
    )
    lungs = found > 0
    other = theirs["lungs"] > 0
    their_slices = dict(zip(theirs["slices"].tolist(), theirs["probabilities"], strict=True))
    pairs = [(item["probabilities"], their_slices.get(uids.index(item["sop_instance_uid"]))) for item in case["slices"]]
    slices = [np.abs(np.array([*mine.values()]) - other).max() for mine, other in pairs if other is not None]
    boxes = np.zeros((2, *lungs.shape), dtype=bool)
    for box in case["boxes"]:
        rows, columns = slice(box["row_min"], box["row_max"] + 1), slice(box["column_min"], box["column_max"] + 1)
        boxes[0, uids.index(box["sop_instance_uid"]), rows, columns] = True
    for index, top, bottom, left, right in theirs["boxes"]:
        boxes[1, index, top:bottom, left:right] = True
    study = np.array([*case["prediction"]["probabilities"].values()])
    return {
        "lungs_dice": float(2 * (lungs & other).sum() / (lungs.sum() + other.sum())),
        "slices_compared": len(slices),
        "slices_not_in_both": len(pairs) + len(their_slices) - 2 * len(slices),
        "slice_probability_difference": float(max(slices)),
        "study_probability_difference": float(np.abs(study - theirs["study"]).max()),
        "boxes_iou": float(boxes.all(axis=0).sum() / max(boxes.any(axis=0).sum(), 1)),
    }
