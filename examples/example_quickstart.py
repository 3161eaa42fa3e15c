from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from lightning_explain import AttributionCheckpoint, AttributionMonitor, ProbeSet
from lightning_explain.demo.data import load_digits, split
from lightning_explain.demo.model import DigitClassifier

train, val = (digits.dataset() for digits in split(load_digits()))  # or your own data and model

monitor = AttributionMonitor(ProbeSet.from_dataset(val, size=32))
gate = "lower(attribution/integrated_gradients/srg) > random"  # better than random attributions, and not by luck
checkpoint = AttributionCheckpoint(monitor="val_acc", mode="max", gate=gate)
trainer = Trainer(max_epochs=2, callbacks=[monitor, checkpoint])
trainer.fit(DigitClassifier(), DataLoader(train, 64, shuffle=True), DataLoader(val, 500))

print(checkpoint.verdict.sentence)
print("Saved:", checkpoint.best_model_path or "nothing")
