"""A folder of removal files."""

from pathlib import Path

import pytest

from hyperpod_node_removal_file import (
    Settings,
    SettingsError,
    UnreadableFileError,
    read_removal_folder,
)

ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"


def read(folder: Path, **files: str) -> tuple[Settings, ...]:
    for stem, text in files.items():
        (folder / f"{stem}.yaml").write_text(text)
    return read_removal_folder(folder, "removals")


def refusals(folder: Path, **files: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(folder, **files)
    return [str(problem) for problem in caught.value.every]


def test_a_stack_for_each_file_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    one, two = read(
        tmp_path,
        training="cluster: training\nnode_ids: [i-01234567]\n",
        evaluation=f"cluster: {ARN}\nstack_name: hyperpod-node-removal-evaluation\n",
    )
    assert (one.cluster, one.stack_name) == (ARN, "hyperpod-node-removal-evaluation")
    assert (two.cluster, two.node_ids) == ("training", ("i-01234567",))
    assert two.file == "removals/training.yaml"


def test_an_empty_folder_has_no_removals(tmp_path: Path) -> None:
    assert read(tmp_path) == ()


def test_all_problems_of_all_files(tmp_path: Path) -> None:
    bad, unknown, empty = refusals(
        tmp_path, a="cluster: a\nnode_ids: [i-1]\nnodes: []\n", b="cluster: b\n", c="[]\n"
    )
    assert unknown.startswith("removals/a.yaml, line 3: nodes: unknown key; allowed: cluster, ")
    assert bad.startswith("removals/a.yaml, line 2: node_ids: 'i-1' is not an instance id; ")
    assert empty.startswith("removals/c.yaml: is not a mapping; ")


def test_a_file_has_the_name_of_its_stack(tmp_path: Path) -> None:
    (text,) = refusals(tmp_path, b="cluster: a\n")
    assert text == (
        "removals/b.yaml: the stack is hyperpod-node-removal-a; allowed:"
        " hyperpod-node-removal-b, by the file's name. Rename the file, or write stack_name:"
        " hyperpod-node-removal-b"
    )


def test_a_cluster_has_one_file(tmp_path: Path) -> None:
    same = "cluster: a\nstack_name: hyperpod-node-removal-b\n"
    (text,) = refusals(tmp_path, a="cluster: a\n", b=same)
    assert text == (
        "removals/b.yaml: cluster a is that of removals/a.yaml; allowed: one file for a cluster"
    )


@pytest.mark.parametrize(
    "name", ["a.yml", "a.json", "README.md", "a b.yaml", "-a.yaml", "$(id).yaml", "a\n::b.yaml"]
)
def test_other_files_in_the_folder_are_rejected(tmp_path: Path, name: str) -> None:
    """Otherwise the file would be ignored silently."""
    (tmp_path / name).write_text("cluster: a\n")
    (text,) = refusals(tmp_path)
    assert text.startswith("removals/")
    assert text.endswith(": not a removal file; allowed: the cluster's name and .yaml")
    assert "\n" not in text


def test_a_missing_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"^removals: cannot be read: No such file"):
        read_removal_folder(tmp_path / "removals", "removals")
