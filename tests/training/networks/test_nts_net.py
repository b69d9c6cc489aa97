"""NTS-Net: what each of the three networks learns from, and that the training loop and prediction take it as it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn

from groundglass.method.classifier_network import INPUT_SIZE
from training.data.slices import SliceSet
from training.engine.inference import predict
from training.engine.loop import Plan, fit
from training.networks.nts_net import (
    OVERLAP,
    PART_SIZE,
    PROPOSALS,
    NTSNet,
    NTSOutput,
    crop,
    make_anchors,
    nts_loss,
    ranking_loss,
    suppress_overlaps,
)

EVEN = torch.ones(2)


def make_network(seed: int = 0) -> NTSNet:
    torch.manual_seed(seed)
    return NTSNet(classes=2, width=16)


def make_images() -> Tensor:
    """Two of each class: with a bright spot, and without; noise everywhere."""
    images = torch.rand(4, 1, INPUT_SIZE, INPUT_SIZE, generator=torch.Generator().manual_seed(0)) * 0.2
    images[0, :, 40:80, 60:100] += 0.7
    images[2, :, 140:180, 120:160] += 0.7
    return images


TARGET = torch.tensor([1, 0, 1, 0])


def test_training_gives_what_the_loss_needs_and_evaluation_the_joint_logits() -> None:
    network = make_network()
    output = network.train()(make_images())
    assert isinstance(output, NTSOutput)
    assert output.raw.shape == output.concat.shape == (4, 2)
    assert output.parts.shape == (4, PROPOSALS, 2)
    assert output.informativeness.shape == (4, PROPOSALS)
    assert (output.informativeness.diff(dim=1) <= 0).all()
    with torch.inference_mode():
        assert network.eval()(make_images()).shape == (4, 2)


def test_prediction_takes_it_like_any_classifier() -> None:
    shape = (3, INPUT_SIZE, INPUT_SIZE)
    hu = np.random.default_rng(0).integers(-1000, 200, shape).astype(np.int16)
    slices = SliceSet(
        hu, np.ones(shape, bool), np.array([[-1040.0, 360.0]] * 3), np.ones(3), np.arange(3), np.arange(3.0)
    )
    probabilities = predict(make_network(), slices, masked=False)
    assert probabilities.shape == (3, 2)
    assert probabilities.sum(1) == pytest.approx(np.ones(3), abs=1e-5)


def test_every_parameter_gets_a_gradient_even_where_all_ranks_are_right() -> None:
    network = make_network().train()
    output = network(make_images())
    agreeing = output._replace(informativeness=output.informativeness * 0)
    agreeing = agreeing._replace(parts=output.parts * 0)
    nts_loss(agreeing, TARGET, EVEN).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_only_ranking_teaches_the_navigator_and_nothing_else() -> None:
    network = make_network().train()
    output = network(make_images())
    confidence = torch.rand(4, PROPOSALS, generator=torch.Generator().manual_seed(1))
    ranking_loss(output.informativeness, confidence).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.navigator.grids[0].parameters())
    taught = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert taught == {"navigator"}


def test_ranking_costs_nothing_where_the_more_confident_lead_by_the_margin() -> None:
    confidence = torch.tensor([[0.9, 0.5, 0.1]])
    assert ranking_loss(torch.tensor([[4.0, 3.0, 2.0]]), confidence) == 0
    assert ranking_loss(torch.tensor([[4.0, 3.5, 2.0]]), confidence) == pytest.approx(0.5)
    assert ranking_loss(torch.tensor([[2.0, 3.0, 4.0]]), confidence) == pytest.approx(2 + 3 + 2)
    assert ranking_loss(torch.tensor([[2.0, 3.0, 4.0]]), torch.full((1, 3), 0.5)) == 0


def test_loss_is_ranking_and_the_weighted_cross_entropies_of_whole_parts_and_all_together() -> None:
    generator = torch.Generator().manual_seed(2)
    raw, concat = torch.randn(2, 4, 2, generator=generator)
    parts = torch.randn(4, 3, 2, generator=generator)
    informativeness = torch.randn(4, 3, generator=generator)
    weight = torch.tensor([0.5, 2.0])
    expected = 0.0
    for image, label in enumerate(TARGET.tolist()):
        for logits in (raw[image], concat[image], *parts[image]):
            expected -= float(weight[label] * logits.log_softmax(0)[label]) / 4
    confidence = parts.softmax(2)[torch.arange(4), :, TARGET]
    expected += float(ranking_loss(informativeness, confidence))
    loss = nts_loss(NTSOutput(raw, concat, parts, informativeness), TARGET, weight)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_suppression_keeps_the_best_and_drops_what_overlaps_it() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [0, 7, 10, 17], [50, 50, 60, 60]])
    scores = torch.tensor([[0.7, 0.9, 0.5, 0.1], [0.9, 0.7, 0.5, 0.6]])
    assert suppress_overlaps(boxes, scores, 2).tolist() == [[1, 3], [0, 3]]
    assert suppress_overlaps(boxes[1:], scores[:, 1:], 2).tolist() == [[0, 2], [0, 2]]
    assert suppress_overlaps(boxes[[0, 2, 3]], scores[:, [0, 2, 3]], 3).tolist() == [[0, 1, 2], [0, 2, 1]]


def test_proposals_never_run_out() -> None:
    anchors = make_anchors()
    scores = torch.rand(64, len(anchors), generator=torch.Generator().manual_seed(3))
    for kept in anchors[suppress_overlaps(anchors, scores, PROPOSALS)]:
        low, high = torch.maximum(kept[:, None, :2], kept[:, :2]), torch.minimum(kept[:, None, 2:], kept[:, 2:])
        shared = (high - low).clamp_min(0).prod(2)
        area = shared.diagonal()
        overlap = shared / (area[:, None] + area - shared)
        assert (overlap - torch.eye(PROPOSALS)).max() <= OVERLAP


def test_anchors_lie_over_what_their_scores_are_made_from() -> None:
    navigator = make_network().navigator
    features = torch.rand(1, 64, 14, 14, requires_grad=True)
    scores = navigator(features)[0]
    anchors = make_anchors()
    assert len(scores) == len(anchors)
    rows, columns = torch.meshgrid(torch.arange(14) * 16.0 + 8, torch.arange(14) * 16.0 + 8, indexing="ij")
    for number in (300, 14 * 14 * 3 + 75, len(anchors) - 14):
        (gradient,) = torch.autograd.grad(scores[number], features, retain_graph=True)
        seen = gradient.abs().sum((0, 1)) > 0
        centre = (anchors[number, :2] + anchors[number, 2:]) / 2
        assert torch.stack((rows[seen].mean(), columns[seen].mean())).tolist() == pytest.approx(centre.tolist())


def test_a_crop_shows_its_region_and_black_outside_the_image() -> None:
    ramp = torch.arange(INPUT_SIZE).float()
    images = torch.stack((ramp[:, None].expand(-1, INPUT_SIZE), ramp[None] + 1000 * torch.ones(INPUT_SIZE, 1)))[:, None]
    box = [32.0, 64.0, 32.0 + PART_SIZE, 64.0 + PART_SIZE]
    outside = [-PART_SIZE, 0.0, 0.0, PART_SIZE]
    parts = crop(images, torch.tensor([[box, outside], [box, outside]])).unflatten(0, (2, 2))
    for image, shown in zip(images, parts, strict=True):
        expected = image[:, 32 : 32 + PART_SIZE, 64 : 64 + PART_SIZE]
        assert (shown[0] - expected).abs().max() < 0.05
        assert shown[1, :, :-1].abs().max() == 0


@pytest.mark.slow
def test_two_classes_that_differ_by_a_spot_are_learned_in_a_few_steps_and_the_same_way_twice() -> None:
    def train(steps: int) -> tuple[NTSNet, list[float]]:
        network = make_network().train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        losses = []
        for _ in range(steps):
            loss = nts_loss(network(make_images()), TARGET, EVEN)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return network, losses

    network, losses = train(8)
    assert network(make_images()).concat.argmax(1).tolist() == TARGET.tolist()
    assert losses[-1] < losses[0] / 2
    assert train(2)[1] == losses[:2]


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.usefixtures("process_group")
def test_distributed_training_finds_every_parameter_used() -> None:
    trained = nn.parallel.DistributedDataParallel(make_network().train())
    for _ in range(2):  # the second step is where an unused parameter of the first is an error
        with torch.autocast("cpu", torch.bfloat16):
            output = trained(make_images())
        loss = nts_loss(output, TARGET, EVEN)
        loss.backward()
    assert torch.isfinite(loss)
    assert output.informativeness.dtype == torch.float32


@pytest.mark.skipif("RANK" in os.environ, reason="the loop would join the processes of a torchrun")
def test_the_training_loop_takes_it_resumes_it_and_returns_a_classifier(tmp_path: Path) -> None:
    images = make_images().numpy()

    def run(folder: str, iterations: int) -> nn.Module:
        plan = Plan(iterations=iterations, batch=2, average_decay=0.9, save_every=1)
        return fit(
            tmp_path / folder,
            make_network(),
            lambda iteration, n: (images[(iteration + n) % 4], TARGET.numpy()[(iteration + n) % 4]),
            lambda output, target: nts_loss(output, target, EVEN),
            plan,
        )

    run("broken", 1)
    broken = run("broken", 2).state_dict()
    whole = run("whole", 2)
    assert all(torch.equal(broken[name], value) for name, value in whole.state_dict().items())
    with torch.inference_mode():
        assert np.isfinite(whole(make_images()).numpy()).all()
