"""What `make model` must not install: each has its own words, and the repository and the machine are as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import wait_until
from tests.models.conftest import MODELS, REPOSITORY, RUN, containers, make, repository, run, seed

HEAD = "blocks.5.proj.weight"

DAMAGE = f"""
import os, pickle, sys, torch
good, folder, harm = sys.argv[1:]

class Evil:
    def __reduce__(self):
        return os.system, ("touch " + harm,)

def damaged(name, **changes):
    weights = dict(torch.load(good)["state_dict"])
    for key, value in changes.items():
        weights[key.replace("__", ".")] = value
    torch.save({{k: v for k, v in weights.items() if v is not None}}, f"{{folder}}/{{name}}.pth")

torch.save(Evil(), f"{{folder}}/evil.pth")
pickle.dump({{"state_dict": Evil()}}, open(f"{{folder}}/evil pickle.pth", "wb"))
torch.save({{"epoch": 3}}, f"{{folder}}/empty.pth")
open(f"{{folder}}/cut.pth", "wb").write(open(good, "rb").read()[:100_000])
open(f"{{folder}}/text.pth", "w").write("no checkpoint")
head = torch.load(good)["state_dict"]["{HEAD}"]
damaged("mismatch", blocks__5__proj__bias=None, extra=head, blocks__0__conv__conv_t__weight=head)
damaged("nan", blocks__5__proj__bias=torch.full((5,), torch.nan))
damaged("number", blocks__5__proj__weight=torch.tensor(1.0))
damaged("sparse", blocks__5__proj__weight=head.to_sparse())
damaged("other", blocks__5__proj__weight=-head)
"""


@pytest.fixture(scope="module")
def files(work: Path) -> Path:
    """A folder with good.pth and good.txt, of five classes, and with damaged ones."""
    seed("x3d_xs", 5, work / "good.pth")
    (work / "good.txt").write_text("a\nb\nc\nd\ne\n")
    (work / "three.txt").write_text("a\nb\nc\n")
    (work / "others.txt").write_text("v\nw\nx\ny\nz\n")
    (work / "bytes.txt").write_bytes(b"\xff\xfe\x80")
    done = run("-W", "ignore", "-c", DAMAGE, work / "good.pth", work, work / "harm")
    assert done.returncode == 0, done.stderr
    return work


@pytest.fixture
def unchanged() -> Iterator[None]:
    before = repository()
    yield
    assert repository() == before
    assert containers() == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CHECKPOINT": "missing.pth"}, "missing.pth: there is no such file"),
        ({"CHECKPOINT": "."}, "there is no such file"),
        ({"CHECKPOINT": "cut.pth"}, "cut.pth: it is cut off"),
        ({"CHECKPOINT": "text.pth"}, "text.pth: it is not a checkpoint"),
        ({"CHECKPOINT": "evil.pth"}, "evil.pth: it holds more than tensors"),
        ({"CHECKPOINT": "evil pickle.pth"}, "evil pickle.pth: it holds more than tensors"),
        ({"CHECKPOINT": "empty.pth"}, "empty.pth: it holds no tensors"),
        ({"CHECKPOINT": "nan.pth"}, "no numbers"),
        ({"CHECKPOINT": "number.pth"}, f"its {HEAD} is a single number"),
        ({"CHECKPOINT": "sparse.pth"}, "cannot be copied into the network"),
        ({"NAME": "swin3d_t"}, "it has no head.weight, so it is not of this network; its first tensors are blocks.0."),
        ({"NAME": "x3d_l"}, "missing: "),
        ({"LABELS": "missing.txt"}, "missing.txt: there is no such file"),
        ({"LABELS": "three.txt"}, "LABELS=three.txt: 3 labels for 5 classes"),
        ({"LABELS": "bytes.txt"}, "LABELS=bytes.txt: it cannot be read as text"),
        ({"LABELS": ""}, "the checkpoint has 5 classes: LABELS=file names them"),
        ({"NAME": "x3d"}, "invalid choice: 'x3d'"),
        ({"AS": "../x"}, "AS=../x: letters, digits, _ and -"),
        ({"AS": "camera_motion"}, "there is a model 'camera_motion' already, not made by make model: AS=another name"),
        ({"SAMPLING": "clip_length=x"}, "SAMPLING: 'clip_length=x'"),
        ({"SAMPLING": "crop=200"}, "a crop of 200 does not fit a short side of 182"),
        ({"SAMPLING": "crop=16"}, "PyTorch cannot run this network with this sampling"),
        ({"VIDEOS": "nowhere"}, "nowhere: there is no such folder"),
        ({"EXPORTER": "cliplane-exporter:never-built"}, "there is no image cliplane-exporter:never-built"),
        ({"IMAGE_TAG": "never-built"}, "there is no image cliplane-triton:never-built"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_installed(files: Path, variables: dict[str, str], words: str) -> None:
    given = {"NAME": "x3d_xs", "AS": "test_refused", "CHECKPOINT": "good.pth", "LABELS": "good.txt", **variables}
    for variable in ("CHECKPOINT", "LABELS", "VIDEOS"):
        if given.get(variable):
            given[variable] = str(files / given[variable])
    done = make("model", **given)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (files / "harm").exists()


@pytest.mark.usefixtures("unchanged")
def test_a_mismatch_names_the_first_tensors_and_their_shapes(files: Path) -> None:
    done = make("model", NAME="x3d_xs", AS="x", CHECKPOINT=files / "mismatch.pth", LABELS=files / "good.txt")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "make model: 1 missing: blocks.5.proj.bias; 1 left over: extra; 1 of another shape: "
        "blocks.0.conv.conv_t.weight is (5, 2048), the network has (24, 3, 1, 3, 3)"
    )


def test_a_name_that_is_taken_is_said_with_the_ways_out(files: Path, name: str) -> None:
    good = {"NAME": "x3d_xs", "AS": name, "CHECKPOINT": files / "good.pth", "LABELS": files / "good.txt"}
    assert make("model", **good).returncode == 0
    before, ways = repository(), f"AS=another name, or make model-rm NAME={name} first"
    for changes, words in (
        ({"LABELS": files / "others.txt"}, f"with other labels (5): {ways}"),
        ({"SAMPLING": "crop=160"}, "with another sampling"),
        ({"PRECISION": "bf16"}, f"make engines NAME={name}"),
        ({"CHECKPOINT": files / "nan.pth"}, "no numbers"),
    ):
        done = make("model", **(good | changes))
        assert done.returncode == 1
        assert words in done.stderr
        assert repository() == before
    assert containers() == []


def test_paths_may_hold_spaces_be_relative_and_have_one_name(files: Path, name: str) -> None:
    for folder, file in (("the weights", "good.pth"), ("the labels", "good.txt")):
        (files / folder).mkdir()
        (files / folder / 'x, "y".z').write_bytes((files / file).read_bytes())
    here = files.relative_to(REPOSITORY)
    paths = {"CHECKPOINT": here / "the weights" / 'x, "y".z', "LABELS": here / "the labels" / 'x, "y".z'}
    done = make("model", NAME="x3d_xs", AS=name, **paths)
    assert done.returncode == 0, done.stderr
    assert (MODELS / name / "labels.txt").read_text() == "a\nb\nc\nd\ne\n"


# Between the comparison with OpenVINO and Triton's look at the folder, another thing comes into it.
ANOTHER_GRAPH = """
import exporter.folder, shutil
put = exporter.folder.put
def tampered(staged, place):
    for graph in staged.rglob("model.onnx"):
        shutil.copy("/exporter/other.onnx", graph)
    put(staged, place)
exporter.folder.put = tampered
"""
NO_GRAPH = ANOTHER_GRAPH.replace('shutil.copy("/exporter/other.onnx", graph)', 'graph.write_text("no graph")')


@pytest.fixture
def tampered(files: Path, name: str) -> Iterator[str]:
    """The exporter's image, and in it what a test puts there: /exporter/other.onnx is of other weights."""
    made = make("model", NAME="x3d_xs", AS=name, CHECKPOINT=files / "other.pth", LABELS=files / "good.txt")
    assert made.returncode == 0, made.stderr
    image = f"cliplane-exporter-tampered:{uuid.uuid4().hex[:8]}"
    yield image
    subprocess.run(["docker", "image", "rm", image], check=False, capture_output=True)


def with_files(image: str, **contents: Path) -> None:
    """Make `image`: the exporter's with these files in /exporter, for __ read a dot."""
    made = ["docker", "create", os.environ["EXPORTER"]]
    container = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    for file, path in contents.items():
        place = f"{container}:/exporter/{file.replace('__', '.')}"
        subprocess.run(["docker", "cp", str(path), place], check=True, capture_output=True)
    subprocess.run(["docker", "commit", container, image], check=True, capture_output=True)
    subprocess.run(["docker", "rm", container], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("code", "is_new", "words"),
    [
        (ANOTHER_GRAPH, True, "make model: Triton differs from PyTorch by"),
        (ANOTHER_GRAPH, False, "make model: Triton differs from PyTorch by"),
        (NO_GRAPH, True, "make model: Triton cannot load it: "),
    ],
    ids=["another answer of a new model", "another answer of a new version", "no answer"],
)
def test_what_triton_answers_otherwise_is_not_installed(
    files: Path, name: str, tampered: str, code: str, is_new: bool, words: str
) -> None:
    (files / "sitecustomize.py").write_text(code)
    other = MODELS / name / "1" / "model.onnx"
    with_files(tampered, sitecustomize__py=files / "sitecustomize.py", other__onnx=other)
    before = repository()
    done = make(
        "model",
        NAME="x3d_xs",
        AS=f"{name}_new" if is_new else name,
        CHECKPOINT=files / "good.pth",
        LABELS=files / "good.txt",
        WEIGHTS=files / "unused",
        EXPORTER=tampered,
    )
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert repository() == before
    assert containers() == []
    assert list((files / "unused").iterdir()) == []  # weights are kept of what is installed


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(files: Path, number: signal.Signals) -> None:
    given = {"NAME": "x3d_xs", "AS": "x", "CHECKPOINT": files / "good.pth", "LABELS": files / "good.txt"}
    environment = os.environ | {"VIDEOS": str(files), "WEIGHTS": str(files)} | {k: str(v) for k, v in given.items()}
    with subprocess.Popen([RUN, "model"], env=environment, stderr=subprocess.DEVNULL) as making:
        wait_until(lambda: len(containers()) == 2, seconds=30, what="both containers run")
        making.send_signal(number)
        assert making.wait(30) == 130


DOWNLOAD = """
import dataclasses, functools, http.server, sys, threading
from pathlib import Path
import exporter.__main__ as exporter
from exporter.networks import NETWORKS

class Cut(http.server.SimpleHTTPRequestHandler):
    def send_header(self, name, value):
        super().send_header(name, str(int(value) + 10) if name == "Content-Length" and "cut" in self.path else value)

folder, file, prefix, *arguments = sys.argv[1:]
server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Cut, directory=folder))
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/{file}"
NETWORKS["x3d_xs"] = dataclasses.replace(NETWORKS["x3d_xs"], url=url, sha256_prefix=prefix)
sys.argv[1:] = ["x3d_xs", *arguments]
sys.exit(exporter.main())
"""


@pytest.mark.usefixtures("unchanged")
def test_a_download_that_is_lost_or_of_another_digest_is_not_kept(files: Path) -> None:
    cache, staged = files / "cache", files / "staged"
    arguments = ("--models", MODELS, "--staged", staged, "--cache", cache, "--as", "x")
    lost = run("-W", "ignore", "-c", DOWNLOAD, files, "cut.pth", "", *arguments)
    assert "100000 of 100010 bytes came" in lost.stderr
    assert "put it into .weights/ as it is named, and run this again" in lost.stderr
    wrong = run("-W", "ignore", "-c", DOWNLOAD, files, "good.pth", "00000000", *arguments)
    assert "not 00000000…; it was removed" in wrong.stderr
    assert list(cache.iterdir()) == []
    found = run("-W", "ignore", "-c", DOWNLOAD, files, "good.pth", "", *arguments)
    assert "the checkpoint has 5 classes" in found.stderr
    assert [path.name for path in cache.iterdir()] == ["good.pth"]


@pytest.mark.usefixtures("unchanged")
def test_without_internet_it_says_what_to_fetch_and_where_to_put_it(files: Path) -> None:
    arguments = ("x3d_xs", "--models", MODELS, "--staged", files / "staged", "--cache", files / "nothing")
    done = run("-W", "ignore", "-m", "exporter", *arguments)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "fetch https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_XS.pyth elsewhere" in last
    assert last.endswith("put it into .weights/ as it is named, and run this again")


def test_a_full_disk_leaves_the_repository_as_it_was(files: Path, name: str) -> None:
    made = make("model", NAME="x3d_xs", AS=name, CHECKPOINT=files / "good.pth", LABELS=files / "good.txt")
    assert made.returncode == 0, made.stderr
    command = (
        "python -W ignore -m exporter x3d_xs --models /small/models --staged /small/staged "
        f"--checkpoint {files}/good.pth --labels {files}/good.txt"
    )
    script = f"""
        mkdir /small/models /small/staged && cp -r {MODELS / name} /small/models/ || exit 9
        dd if=/dev/zero of=/small/full bs=64k 2>/dev/null; truncate -s -1M /small/full
        find /small/models -type f -exec sha256sum {{}} + | sort > /tmp/before
        {command} --as {name} && exit 8
        rm -r /small/staged && mkdir /small/staged
        {command} --as another && exit 7
        find /small/models -type f -exec sha256sum {{}} + | sort | diff /tmp/before -
    """
    done = run("-c", script, entry="sh", options=["--tmpfs", "/small:size=64m"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("No space left on device") == 2
