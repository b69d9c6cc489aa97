"""Cross-validation by patient, every row of Tables 3 and 4: `python -m training.cross_validation --out runs`.

Two recipes:

- `paper` (default with a GPU): II-G to the letter. Every row, task and fold trains from scratch for up to 20,000
  iterations, validated every 500, with early stop and the best checkpoint.
- `painted` (default without a GPU): every row starts from the base network of `training.classifier` and is fine-tuned
  for `TABLE_PLAN.iterations`, its first two blocks fixed, on patients and painted slices, half each. It ends within
  the hour on two cores. NTS-Net has a painted training of its own.

Each (row, task) leaves one file of predictions in `OUT/predictions`, from which `training.tables` makes the tables.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.weights import load_lung_network
from training.data.patients import Patient
from training.engine.classifier_run import add_classifier_options, bind_recipe, read_data
from training.engine.classifier_training import BASE_PLAN, plan_of, train_base, train_further
from training.engine.cross_validation import TABLE_PLAN, cross_validate, train_fold, train_nts_net
from training.engine.inference import find_suspects
from training.engine.loop import Plan
from training.engine.run_record import bind_or_end
from training.networks.table_rows import ROWS, TASKS, Row, keep_classes


def main(arguments: list[str] | None = None) -> int:
    """Train and test every row, task and fold, resuming where an earlier call stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m training.cross_validation",
        description=__doc__,
        epilog="example: python -m training.cross_validation --out runs --rows joint conv3 --recipe painted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_classifier_options(parser)
    recipe = "paper" if torch.cuda.is_available() else "painted"
    parser.add_argument("--recipe", choices=("paper", "painted"), default=recipe, help=f"default here: {recipe}")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--iterations", type=int, help="of each fold (default: the recipe's)")
    options = parser.parse_args(arguments)
    data = read_data(parser, options, load_lung_network(options.lungs))
    training_set = data.patients
    plan = Plan() if options.recipe == "paper" else TABLE_PLAN
    if options.iterations:
        plan = replace(plan, iterations=options.iterations)
    record = {
        "fingerprint": training_set.fingerprint,
        "source": training_set.source,
        "recipe": options.recipe,
        "seed": options.seed,
        "iterations": plan.iterations,
    }
    bind_recipe(parser, options, data, BASE_PLAN, plan_of(data))
    bind_or_end(parser, options.out, "cross_validation", record)
    present = {CLASSES[patient.label] for patient in training_set.patients}
    tasks = [task for task in TASKS if present.issuperset(task)]
    # What ships is scored with every recipe: the base network, and the ones that were trained on without a fold.
    finder = train_base(options.out, data, BASE_PLAN, options.seed)

    def train_shipped(out: Path, patients: Sequence[Patient]) -> nn.Module:
        name = f"fold{out.name.rpartition('.')[2]}"
        first = options.start / f"{name}.safetensors" if options.start else finder
        network = train_further(options.out / name, first, data.of_network(name), plan_of(data), options.seed)
        return keep_classes(network, tasks[0])

    # The base network saw no patient: it is the same in every fold.
    cross_validate(options.out, training_set, lambda out, patients: keep_classes(finder, tasks[0]), "painted", tasks[0])
    cross_validate(options.out, training_set, train_shipped, "shipped", tasks[0])
    suspects: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    for row in (row for row in ROWS if row.name in options.rows):
        pretrained: nn.Module | None = None
        if options.recipe == "painted":
            pretrained = finder if row.scales else train_nts_net(options.out, row, data.bases, options.seed)
        for task in tasks:

            def train(
                out: Path,
                patients: Sequence[Patient],
                row: Row = row,
                task: tuple[str, ...] = task,
                pretrained: nn.Module | None = pretrained,
            ) -> nn.Module:
                if pretrained is None:
                    return train_fold(out, row, task, patients, None, plan, options.seed)
                names = tuple(patient.name for patient in patients)
                if names not in suspects:
                    suspects[names] = find_suspects(finder, patients)
                painted = pretrained, suspects[names], data.bases
                return train_fold(out, row, task, patients, painted, plan, options.seed)

            cross_validate(options.out, training_set, train, row.name, task)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
