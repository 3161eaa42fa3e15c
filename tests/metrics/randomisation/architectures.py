"""Small models that own parameters in every way there is."""

import torch
from torch import nn


class Tied(nn.Module):
    """The decoder uses the encoder's weight; one module has two names for one parameter, one sits in two places."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight
        self.scale = nn.Parameter(torch.rand(4))
        self.alias = self.scale
        self.again = self.encoder

    def forward(self, x):
        return self.again(self.decoder(self.encoder(x) * self.scale) * self.alias)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(6, 3, batch_first=True)

    def forward(self, x):
        return self.gru(self.lstm(x[:, None].repeat(1, 3, 1))[0])[0][:, -1]


class Attention(nn.Module):
    """A class token and positions as transformers have them, attention with one and with several projections."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(torch.zeros(1, 5, 8))
        self.embed = nn.Linear(1, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.cross = nn.MultiheadAttention(8, 2, kdim=8, vdim=8, add_bias_kv=True, batch_first=True)
        self.other = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x[..., None])], dim=1) + self.positions
        x = self.block(x)
        x = x + self.cross(x, x, x)[0] + self.other(x, x[..., :6], x[..., :6])[0]
        return self.norm(x)[:, 0]


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm, self.plain = nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)
        self.layer, self.group = nn.LayerNorm(4), nn.GroupNorm(2, 4)
        for norm in (self.norm, self.layer, self.group):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 1.0]))
        self.register_buffer("running_table", torch.tensor([3, 1, 2, 0]))
        for norm in (self.norm, self.plain):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.plain(self.second(self.norm(self.first(x)) * self.mask))[:, self.running_table]
        return self.layer(x) + self.group(x)


class Parametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
        self.head = nn.utils.parametrizations.orthogonal(nn.Linear(5, 5))

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.listed = nn.ParameterList([torch.randn(4, 4), torch.randn(4)])
        self.named = nn.ParameterDict({"named": torch.randn(4, 3)})
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.act = nn.PReLU()

    def forward(self, x):
        return self.act(x @ self.listed[0] + self.listed[1]) @ self.named["named"] / (1 + self.temperature**2)


MODELS = [Tied, Recurrent, Attention, Normalised, Parametrised, Lists]


def made(kind, seed=0):
    """A model that has been trained a little: its norms are not as when new."""
    torch.manual_seed(seed)
    model = kind().eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def slots(model):
    """Every place that holds a parameter, also two of one module that hold the same."""
    return [(m, name, p) for m in model.modules() for name, p in m._parameters.items() if p is not None]


def dictionaries(model):
    return [
        (list(vars(m)), [list(d.items()) for d in (m._parameters, m._buffers, m._modules)]) for m in model.modules()
    ]
