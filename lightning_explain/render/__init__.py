"""From attributions to pictures."""

from lightning_explain.render.colors import fixed_scale as fixed_scale
from lightning_explain.render.colors import heat as heat
from lightning_explain.render.colors import overlay as overlay
from lightning_explain.render.colors import relative as relative
from lightning_explain.render.picture import Picture as Picture
from lightning_explain.render.picture import png as png
from lightning_explain.render.sample import Tile as Tile
from lightning_explain.render.sample import sample_picture as sample_picture
from lightning_explain.render.sheet import contact_sheet as contact_sheet
from lightning_explain.render.tiles import tiles as tiles
