import pytest
import torch

from groundglass.method.lung_network import LungUNet, SequentialAttention


def test_attention_equals_torch_at_every_place() -> None:
    """Against torch.nn.MultiheadAttention with the same projections, sequence = the neighbouring planes."""
    torch.manual_seed(0)
    attention = SequentialAttention(channels=8, neighbours=3, heads=2)
    torch.nn.init.normal_(attention.offset)
    peer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key_value.weight])[..., 0, 0])
        peer.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key_value.bias]))
        peer.out_proj.weight.copy_(attention.out.weight[..., 0, 0])
        peer.out_proj.bias.copy_(attention.out.bias)
    features = torch.randn(2, 5, 8, 4, 6)
    found = attention(features)
    assert found.shape == (2, 3, 8, 4, 6)
    for centre in range(3):
        sequence = (features[:, centre : centre + 3] + attention.offset[None, :, :, None, None]).permute(0, 3, 4, 1, 2)
        query = features[:, centre + 1].permute(0, 2, 3, 1).reshape(-1, 1, 8)
        expected, _ = peer(query, sequence.reshape(-1, 3, 8), sequence.reshape(-1, 3, 8))
        expected = expected.view(2, 4, 6, 8).permute(0, 3, 1, 2) + features[:, centre + 1]
        torch.testing.assert_close(found[:, centre], expected, rtol=1e-4, atol=1e-5)


def test_a_long_sequence_gives_what_its_parts_give() -> None:
    torch.manual_seed(0)
    network = LungUNet(channels=(4, 8, 16)).eval()
    planes = torch.rand(1, 7, 32, 48)
    with torch.no_grad():
        whole = network(planes)
        parts = torch.cat([network(planes[:, first : first + 3]) for first in range(5)], dim=1)
    assert whole.shape == (1, 5, 32, 48)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)


def test_neighbours_change_the_prediction() -> None:
    torch.manual_seed(0)
    network = LungUNet(channels=(4, 8, 16)).eval()
    torch.nn.init.normal_(network.attention.out.weight)
    planes = torch.rand(1, 3, 32, 32)
    other = planes.clone()
    other[:, 0] = torch.rand(32, 32)
    with torch.no_grad():
        assert not torch.allclose(network(planes), network(other))


def test_an_even_number_of_neighbours_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        LungUNet(neighbours=4)
