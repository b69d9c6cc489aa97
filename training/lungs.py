"""Train the lung network (II-C): `python -m training.lungs --data DIR --out DIR`."""

import argparse
import json
import os

from training.data.lung_images import load_sources
from training.data.normalisation import NORMALISATIONS
from training.engine.checkpoint import export_weights
from training.engine.loop import Plan
from training.engine.lung_training import train_lungs
from training.engine.options import add_training_options, require_data
from training.engine.run_record import bind_or_end
from training.reports.lung_figures import score_held_out


def main(arguments: list[str] | None = None) -> int:
    """Train, resuming where an earlier call stopped, export the weights and score the patients held out."""
    parser = argparse.ArgumentParser(prog="python -m training.lungs", description=__doc__)
    add_training_options(parser, iterations=1600, batch=8, learning_rate=1.5e-3)
    parser.add_argument(
        "--normalisation",
        choices=list(NORMALISATIONS),
        default="sliding",
        help="none: HU over its whole range; fixed: the lung window -1350 to 150 HU; sliding: the paper's, which ships "
        "(default sliding)",
    )
    options = parser.parse_args(arguments)
    require_data(parser, options.data)
    plan = Plan(
        iterations=options.iterations,
        batch=options.batch,
        learning_rate=options.learning_rate,
        betas=(0.9, 0.999),
        cosine=True,
        average_decay=0.995,
        save_every=options.save_every,
    )
    normalisation = NORMALISATIONS[options.normalisation]
    record = {name: getattr(options, name) for name in ("seed", "iterations", "batch", "normalisation")}
    bind_or_end(parser, options.out, "run", record | {"learning rate": options.learning_rate})
    train, held_out = load_sources(options.data)
    network = train_lungs(options.out, train, normalisation, plan, options.seed)
    if int(os.environ.get("RANK", "0")) > 0:
        return 0  # with several processes the first one writes
    export_weights(network, options.out / "lungs.safetensors")
    report = {
        "iterations": options.iterations,
        "normalisation": options.normalisation,
        "seed": options.seed,
        **score_held_out(network, held_out, normalisation),
    }
    text = json.dumps(report, indent=2) + "\n"
    (options.out / "report.json").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
