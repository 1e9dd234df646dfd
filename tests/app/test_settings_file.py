"""Files: the line of an error, and what YAML would change silently."""

from itertools import pairwise
from pathlib import Path

import pytest

from hyperpod_node_removal import PartialFailure
from hyperpod_node_removal_file import (
    Settings,
    SettingsError,
    UnreadableFileError,
    read_removal_file,
)

ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"


class Folder:
    """A folder of files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def settings(self, text: str | bytes, name: str = "set.yaml") -> Settings:
        path = self.path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_removal_file(path, name).settings

    def refusal(self, text: str | bytes, name: str = "set.yaml") -> str:
        with pytest.raises(SettingsError) as caught:
            self.settings(text, name)
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


YAML = f"""\
# Reviewed by the platform team
cluster: ml-cluster
node_ids:
  - {ONE}   # row remapping pending
  - {TWO}
on_partial_failure: REPORT
min_remaining:
  workers: 4
  trainers: "2"
dry_run: True
retry_token: "2"
"""
JSON = f"""\
{{
  "cluster": "ml-cluster",
  "node_ids": ["{ONE}", "{TWO}"],
  "on_partial_failure": "REPORT",
  "min_remaining": {{"workers": 4, "trainers": "2"}},
  "dry_run": true,
  "retry_token": "2"
}}
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (YAML, "set.yaml"),
        (YAML, "SET.YML"),
        (b"\xef\xbb\xbf" + YAML.encode(), "set.yaml"),
        (YAML.replace("\n", "\r\n"), "set.yaml"),
        (JSON, "set.yaml"),
        (JSON, "set.json"),
    ],
)
def test_yaml_and_json_say_the_same(folder: Folder, text: str | bytes, name: str) -> None:
    assert folder.settings(text, name) == Settings(
        cluster="ml-cluster",
        stack_name="hyperpod-node-removal-ml-cluster",
        node_ids=(ONE, TWO),
        on_partial_failure=PartialFailure.REPORT,
        min_remaining={"workers": 4, "trainers": 2},
        dry_run=True,
        retry_token="2",
        file=name,
    )


def test_a_list_whose_entries_are_all_commented_out_is_empty(folder: Folder) -> None:
    text = "cluster: ml-cluster\nnode_ids:\n  # - i-01234567\n"
    assert folder.settings(text).node_ids == ()


NOT_TEXT = "not as text; put it in quotes"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "cluster: a\n\nnode_idss: []\n",
            ", line 3: node_idss: unknown key; allowed: cluster, node",
        ),
        ("cluster: a\nnode_ids: []\nnode_ids: []\n", ", line 3: node_ids: the key is given twice"),
        (
            "cluster: a\nnode_logical_ids: [gpu-1, on]\n",
            f", line 2: node_logical_ids: 'on' is read as true or false, {NOT_TEXT}",
        ),
        (
            "cluster: a\nretry_token: 007\n",
            f", line 2: retry_token: '007' is read as a number, {NOT_TEXT}",
        ),
        (
            "cluster: a\nretry_token: 2026-11-23\n",
            f", line 2: retry_token: '2026-11-23' is read as a date, {NOT_TEXT}",
        ),
        (
            "cluster: !Ref ClusterName\n",
            f", line 1: cluster: 'ClusterName' is read as a value with a tag, {NOT_TEXT}",
        ),
        (
            "cluster: a\nretry_for: !Ref Seconds\n",
            ", line 2: retry_for: 'Seconds' is not a whole number",
        ),
        (
            "cluster: a\nmin_remaining:\n  workers:   # to be decided\n",
            ", line 3: min_remaining['workers']: nothing is not a whole number; allowed:",
        ),
        (
            "cluster: a\n\nmin_remaining: {}\n",
            ", line 3: min_remaining: is empty; allowed: numbers",
        ),
        (
            "cluster: a\nmin_remaining:\n  workers: 4\n  workers: 5\n",
            ", line 4: workers: the key is given twice",
        ),
        ("cluster: a\ndry_run: on\n", ", line 2: dry_run: 'on' is unknown; allowed: true or false"),
        ("cluster:\n  name: a\n", ", line 2: cluster: a mapping is given; allowed: text"),
        ("node_ids: []\n", ": cluster is missing; allowed: the name or ARN of a cluster"),
        ("", ": cluster is missing"),
        ("- cluster\n", ": is not a mapping; allowed: keys and values, such as cluster"),
        ("cluster: [a\nnode_ids: b]: c\n", ", line 2: is not YAML:"),
        ("cluster: a\n---\ncluster: b\n", ", line 2: is not YAML: but found another"),
        ("? [a]\n: b\n", ", line 1: a key is not a word"),
        ("cluster: a\x07\n", ": is not YAML:"),
        ("cluster: *nowhere\n", ", line 1: is not YAML: found undefined alias"),
    ],
)
def test_invalid_yaml_is_rejected_with_its_line(folder: Folder, text: str, problem: str) -> None:
    found = folder.refusal(text)
    assert found.startswith(f"set.yaml{problem}")
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f'{{"cluster": "a", "node_ids": ["{ONE}", "i-1"]}}',
            ": node_ids[1]: 'i-1' is not an inst",
        ),
        ('{"cluster": "a", "cluster": "b"}', ": cluster: the key is given twice"),
        ('{\n"cluster": "a",\n}', ", line 3: is not JSON:"),
        ('["cluster"]', ": is not a mapping; allowed: keys and values, such as cluster"),
        ('{"cluster": "a", "retry_for": 1e400}', ": retry_for: 'inf' is not a whole"),
        (f'{{"cluster": {"1" * 5000}}}', ": cannot be read: Exceeds the limit"),
        (f"{'[' * 100_000}", ": cannot be read:"),
        (
            f'{{"cluster": "a", "node_ids": {"[" * 900}{"]" * 900}}}',
            ": node_ids[0]: a list is given; allowed: text",
        ),
    ],
)
def test_invalid_json_is_rejected(folder: Folder, text: str, problem: str) -> None:
    assert folder.refusal(text, "set.json").startswith(f"set.json{problem}")


def test_every_problem_is_found_with_its_line(folder: Folder) -> None:
    path = folder.path / "set.yaml"
    path.write_text(
        f"node_ids:\n- i-1\n- {ONE}\n- {ONE}\n- [a]\nnodes:\n- {ONE}\n"
        "min_remaining:\n  workers: few\n  wor_kers: 1\nretry_for: 3601\n"
    )
    with pytest.raises(SettingsError) as caught:
        read_removal_file(path, "set.yaml")
    assert [(problem.line, str(problem).split(": ")[1]) for problem in caught.value.every] == [
        (2, "node_ids"),
        (4, "node_ids"),
        (5, "node_ids"),
        (6, "nodes"),
        (9, "min_remaining['workers']"),
        (10, "min_remaining['wor_kers']"),
        (11, "retry_for"),
        (None, "cluster is missing; allowed"),
    ]


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ("node_id nodeIds NodeIds node-ids nodes", " Did you mean node_ids?"),
        ("ClusterName", " Did you mean cluster?"),
        ("ServiceTimeout", " Did you mean timeout?"),
        ("minimum_remaining", " Did you mean min_remaining?"),
        ("owner", ""),
    ],
)
def test_a_misspelled_key_suggests_the_right_one(folder: Folder, keys: str, meant: str) -> None:
    for key in keys.split():
        end = f"eks_cluster_arn, stack_name.{meant}" if meant else "eks_cluster_arn, stack_name"
        assert folder.refusal(f"{key}: a\n").endswith(end)


def test_yaml_tags_create_no_objects(folder: Folder) -> None:
    text = "cluster: !!python/object/apply:os.system ['true']\n"
    assert folder.refusal(text) == "set.yaml, line 1: cluster: a list is given; allowed: text"


def test_aliases_do_not_explode(folder: Folder) -> None:
    names = "abcdefghij"
    lines = [f"{name}: &{name} [{f'*{before},' * 9}]" for before, name in pairwise(names)]
    assert "unknown key" in folder.refusal("\n".join(["a: &a [i-01234567]", *lines]))
    assert "a mapping is not" in folder.refusal("cluster: a\nmin_remaining: &a {workers: *a}\n")
    assert "a list is given" in folder.refusal("cluster: a\nnode_ids: &a [*a]\n")


def test_unreadable_files_are_rejected(folder: Folder) -> None:
    assert folder.refusal("cluster: a", "set.toml") == (
        "set.toml: not a removal file; allowed: .yaml, .yml or .json"
    )
    assert folder.refusal(b"cluster: \xff") == "set.yaml: is not UTF-8 text (at byte 9)"
    with pytest.raises(UnreadableFileError, match=r"gone\.yaml: cannot be read: No such file"):
        read_removal_file(folder.path / "gone.yaml", "gone.yaml")
    (folder.path / "folder.yaml").mkdir()
    with pytest.raises(SettingsError, match=r"set\.yaml: cannot be read: Is a directory"):
        read_removal_file(folder.path / "folder.yaml", "set.yaml")
