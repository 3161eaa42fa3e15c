"""TensorBoard itself, in a real headless Chromium, on the logs of the demo."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_explain.demo.run import train

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SCALAR = "attribution/integrated_gradients/relevance_mass"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    for name in ("shortcut", "honest"):
        train(name, folder, epochs=2, seed=0)
    return folder


@pytest.fixture(scope="module", params=["fast loader", "slow loader"])
def url(request, logs):
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"]
    command += ["--samples_per_plugin", "images=1000", f"--load_fast={str(request.param == 'fast loader').lower()}"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if found := re.search(r"http://[\d.]+:\d+/", line):
                break
        yield found[0]
    finally:
        server.terminate()
        server.wait(timeout=20)
        server.stderr.close()


@pytest.fixture
def page(url):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.goto(url)
        wait_for_data(page)
        yield page
        browser.close()


def wait_for_data(page):
    for _ in range(60):
        runs = fetch(page, "data/runs")
        tags = fetch(page, "data/plugin/images/tags") if len(runs) == 2 else {}
        # The contact sheet that is written last.
        if len(tags) == 2 and all("attribution/contact_sheet/grad_cam@features.8" in t for t in tags.values()):
            return
        time.sleep(0.5)
    raise AssertionError("TensorBoard never showed the runs")


def fetch(page, path):
    return page.evaluate("path => fetch(path).then(answer => answer.json())", path)


def test_pictures_and_scalars_stand_at_the_same_steps(page):
    for run in ("shortcut", "honest"):
        accuracy = [step for _, step, _ in fetch(page, f"data/plugin/scalars/scalars?tag=val_acc&run={run}")]
        score = [step for _, step, _ in fetch(page, f"data/plugin/scalars/scalars?tag={SCALAR}&run={run}")]
        sample = fetch(page, f"data/plugin/images/images?tag=attribution/sample_00&run={run}&sample=0")
        assert accuracy == score == [picture["step"] for picture in sample]
        assert len(accuracy) == 2


def test_the_pictures_are_drawn_beside_the_curves(page, tmp_path):
    page.goto(page.url.split("#")[0] + "#timeseries")
    box = page.get_by_role("combobox", name="Filter tags (regex)")
    box.fill("integrated_gradients/relevance_mass|sample_00|contact_sheet/integrated")
    page.locator("image-card img").first.wait_for(timeout=30_000)
    page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('image-card img')];"
        " return all.length >= 4 && all.every(i => i.complete && i.naturalWidth > 100) }",
        timeout=30_000,
    )
    shown = page.locator("image-card").all_inner_texts()
    # The card says the step of its picture: the last validation's, two epochs of 63 batches.
    assert all("Step 125" in " ".join(text.split()) for text in shown), shown
    assert page.locator("scalar-card").count() >= 1
    page.keyboard.press("Escape")
    picture = tmp_path / "timeseries.png"
    page.screenshot(path=picture)
    assert Path(picture).stat().st_size > 20_000


def test_the_description_says_what_the_colors_mean(page):
    for run, of_run in fetch(page, "data/plugin/images/tags").items():
        described = of_run["attribution/sample_00"]["description"]
        assert "Red speaks for the explained output" in described, run
