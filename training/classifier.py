"""Train the multi-scale classifier (II-D to II-G): `python -m training.classifier --data DIR --out DIR`.

First a base network, on disease painted into healthy slices. Then, from there, on real labels at the level of the
image: slices of MosMedData and IQ-OTH/NCCD and the six COVID-CT-MD patients, with painted disease in the healthy slices
of each source. A patient's label goes to those of the slices that look most diseased to the network before; lesion
masks and radiologists' slice labels never train.

Four networks: `base`; `all`, which ships; and one for each fold, trained without what the fold tests. With --start
there is no base: each goes on from the network of its name there, and at last its Conv5 is trained anew. A hospital's
own patients (--training-set) take the place of all real slices.
"""

import argparse
from dataclasses import replace

from groundglass.method.weights import load_lung_network
from training.engine.classifier_run import add_classifier_options, bind_recipe, read_data
from training.engine.classifier_training import BASE_PLAN, OWN_PLAN, REAL_PLAN, plan_of, train_base, train_further


def main(arguments: list[str] | None = None) -> int:
    """Train, resuming where an earlier call stopped, and export the weights."""
    parser = argparse.ArgumentParser(
        prog="python -m training.classifier",
        description=__doc__,
        epilog="example: python -m training.classifier --without mosmed --out runs/classifier/without_mosmed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_classifier_options(parser)
    parser.add_argument("--iterations", type=int, default=BASE_PLAN.iterations, help="of the base network")
    parser.add_argument(
        "--fine-tune-iterations",
        type=int,
        help=f"of each network after it (default {REAL_PLAN.iterations}; own patients {OWN_PLAN.iterations})",
    )
    options = parser.parse_args(arguments)
    data = read_data(parser, options, load_lung_network(options.lungs))
    base_plan = replace(BASE_PLAN, iterations=options.iterations)
    plan = plan_of(data)
    plan = replace(plan, iterations=options.fine_tune_iterations or plan.iterations)
    bind_recipe(parser, options, data, base_plan, plan)
    base = None if options.start else train_base(options.out, data, base_plan, options.seed)
    for name in data.networks:
        first = base or options.start / f"{name}.safetensors"
        train_further(options.out / name, first, data.of_network(name), plan, options.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
