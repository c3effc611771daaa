"""Parameters: reading, typing, merging, and what a wrong one is told."""

from pathlib import Path

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from runbook import params
from runbook.errors import ParameterError
from runbook.params import NOTEBOOKS, Params, json_schema, load, seconds

ROOT = Path(__file__).parent.parent


def write(folder: Path, text: str, name: str = "p.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        Params.parse(load([write(folder, text)]))
    return caught.value


def test_nothing_given_is_the_rehearsal_on_the_default_line():
    p = Params.parse(load())
    assert (p.cluster, p.mode, p.line, p.timeout) == ("rehearsal", "apply", "edge-2.20", 600)


def test_an_unknown_parameter_names_the_place_and_the_nearest_name(tmp_path):
    error = refusal(tmp_path, "cluster: pi\nlinkerd_namespce: mesh\n")
    assert "p.yaml:2" in error.what
    assert "'linkerd_namespce'" in error.what
    assert error.fix == "did you mean linkerd_namespace?"
    assert error.status == 2


def test_a_version_read_as_a_number_is_refused_with_the_quotes_to_write(tmp_path):
    error = refusal(tmp_path, "chart_version: 1.30\n")
    assert "p.yaml:1" in error.what
    assert "the number 1.3" in error.what
    assert "1.30 is lost" in error.why
    assert error.fix == 'write chart_version: "1.30"'


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("cluster: true", 'write cluster: "true"'),
        ("issuer_renew_before: 25", 'write issuer_renew_before: "25"'),
        ("chart_version:", 'write chart_version: ""'),
    ],
)
def test_text_fields_refuse_other_scalars_and_say_how_to_quote(tmp_path, text, fix):
    assert refusal(tmp_path, text).fix == fix


def test_a_number_from_a_notebook_cell_is_refused_too():
    with pytest.raises(ParameterError, match=r"chart_version must be text, but it is the number"):
        Params.parse({"chart_version": 1.3})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("timeout: soon", "timeout must be a whole number, but it is 'soon'"),
        ("timeout: 1.5", "must be a whole number"),
        ("timeout: true", "must be a whole number"),
        ("timeout: 0", "must be 1 or more"),
        ("create_ca: yes", "create_ca must be true or false, but it is 'yes'"),
        ("create_ca: 'true'", "must be true or false"),
        ("values: [a]", "must be a mapping, but it is a list"),
        ("mode: aply", "must be 'plan', 'apply' or 'verify'"),
        ("line: edge-2.21", "must be a release line"),
        ("linkerd_namespace: Linkerd_X", "DNS-1123"),
        ("trust_domain: cluster..local", "DNS-1123"),
        ("issuer_duration: 2 days", "must be a duration"),
        ("issuer_duration: 30m", "1h or more"),
        ("issuer_renew_before: 48h", "between 5m and issuer_duration"),
        ("ca_duration: 24h", "longer than issuer_duration"),
        ("ca_common_name: ''", "must not be empty"),
        ("cluster: env:CLUSTER", "references"),
        ("chart_source: secret:a/b/c", "references"),
        ("cluster_uid: 1234", "must be text"),
        ("cluster_uid: abc", "does not have the form"),
        ("cluster: ''", "must not be empty"),
    ],
)
def test_wrong_values_say_what_is_expected(tmp_path, text, told):
    assert told in str(refusal(tmp_path, text))


def test_a_misspelt_choice_gets_the_nearest(tmp_path):
    assert refusal(tmp_path, "mode: aply").fix == "did you mean apply?"


def test_several_problems_are_all_named_with_their_places(tmp_path):
    text = str(refusal(tmp_path, "clutser: a\ntimeout: x\nchart_version: 1.30\n"))
    assert text.startswith("3 parameters are wrong")
    assert all(part in text for part in ("p.yaml:1", "p.yaml:2", "p.yaml:3", "did you mean"))


def test_values_with_a_secret_are_never_repeated():
    with pytest.raises(ParameterError) as caught:
        Params.parse({"timeout": {"password": "hunter2"}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("scalar", "read"),
    [
        ("true", True),
        ("false", False),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("22:22", "22:22"),
        ("0777", "0777"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("~", None),
        ("<<", "<<"),
    ],
)
def test_yaml_scalars_are_those_of_yaml_1_2(tmp_path, scalar, read):
    got = load([write(tmp_path, f"values: {{x: {scalar}}}")])["values"]["x"]
    assert got == read
    assert type(got) is type(read)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cluster: a\ncluster: b\n", "p.yaml:2: 'cluster' is given twice (first in line 1)"),
        ("values: {a: 1, a: 2}\n", "'a' is given twice"),
        ("values: {1: x}\n", "is not text"),
        ("- cluster\n", "p.yaml:1: expected a mapping, found a list"),
        ("cluster\n", "expected a mapping, found a single value"),
        ("cluster: [\n", "p.yaml:2"),
        ("cluster: a\n---\ncluster: b\n", "p.yaml:2"),
        ("cluster: !!python/object:os.system x\n", "p.yaml:1"),
        ("cluster: \x07\n", "p.yaml"),
    ],
)
def test_files_that_are_not_one_mapping_are_refused_with_the_line(tmp_path, text, told):
    assert told in str(refusal(tmp_path, text))


def test_an_empty_file_is_no_parameters(tmp_path):
    assert load([write(tmp_path, "# nothing\n")]) == {}


def test_a_missing_file_is_a_parameter_error(tmp_path):
    with pytest.raises(ParameterError, match="cannot read the parameter file"):
        load([tmp_path / "absent.yaml"])


def test_a_file_that_is_not_text_is_a_parameter_error(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"cluster: \xff\xfe\n")
    with pytest.raises(ParameterError, match="not UTF-8"):
        load([path])


def test_later_files_win_and_values_are_merged_then_overrides_win(tmp_path):
    one = write(tmp_path, "cluster: one\ntimeout: 5\nvalues: {proxy: {a: 1, b: 1}}\n", "1.yaml")
    two = write(tmp_path, "cluster: two\nvalues: {proxy: {b: 2}}\n", "2.yaml")
    given = load([one, two], {"timeout": "7"})
    assert given == {"cluster": "two", "timeout": 7, "values": {"proxy": {"a": 1, "b": 2}}}
    assert given.origins["timeout"].place == "the command line"
    assert given.origins["cluster"].place.endswith("2.yaml:1")


def test_the_command_line_is_read_by_the_schema():
    given = load(
        overrides={
            "chart_version": "1.30",
            "timeout": "90",
            "create_ca": "true",
            "values": "{proxy: {cores: 1}}",
        }
    )
    p = Params.parse(given)
    assert (p.chart_version, p.timeout, p.create_ca) == ("1.30", 90, True)
    assert p.values == {"proxy": {"cores": 1}}


def test_command_line_text_of_the_wrong_kind_names_the_command_line():
    with pytest.raises(ParameterError, match="the command line: create_ca must be true or false"):
        Params.parse(load(overrides={"create_ca": "yes"}))
    with pytest.raises(ParameterError, match="-p values:1: expected a mapping"):
        load(overrides={"values": "a"})


def test_references_stay_unresolved_inside_values():
    assert Params.parse({"values": {"x": "env:TOKEN"}}).values == {"x": "env:TOKEN"}


def test_kubeconfig_paths_and_chart_addresses_are_taken_as_they_are():
    p = Params.parse({"kubeconfig": "~/.kube/pi", "chart_source": "oci://registry.local/charts"})
    assert (p.kubeconfig, p.chart_source) == ("~/.kube/pi", "oci://registry.local/charts")


@pytest.mark.parametrize(
    ("text", "expected"), [("48h", 172800), ("48h0m0s", 172800), ("1h30m", 5400), ("1.5s", 1.5)]
)
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "48", "h", "-1h", "1d", "1h ", "1h30"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


def test_every_notebook_declares_at_most_ten_known_parameters():
    for notebook, names in NOTEBOOKS.items():
        assert len(names) <= 10, notebook
        assert set(names) <= set(Params.model_fields), notebook
        assert names[:4] == ("cluster", "kubeconfig", "cluster_uid", "mode"), notebook


def test_the_schema_describes_every_parameter():
    schema = json_schema()
    assert set(schema["properties"]) == set(Params.model_fields)
    for name, field in schema["properties"].items():
        assert field["description"], name
        assert "default" in field or name in ("values", "viz_values", "mesh_options"), name
    assert schema["properties"]["timeout"]["unit"] == "seconds"
    assert "edge-2.20" in schema["properties"]["line"]["enum"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["rehearsal", "pi-cluster"])
def test_the_shipped_files_are_valid(name):
    p = Params.parse(load([ROOT / "params" / f"{name}.yaml"]))
    assert p.cluster == name


@hypothesis_given(st.text(max_size=40))
def test_any_text_is_read_or_refused_but_never_crashes(text):
    try:
        params.parse_mapping(text, "p.yaml")
    except params.YamlError as error:
        assert error.place.startswith("p.yaml")


@hypothesis_given(
    st.dictionaries(
        st.sampled_from(sorted(Params.model_fields)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
        max_size=4,
    )
)
def test_any_values_are_accepted_or_refused_as_a_parameter_error(values):
    try:
        Params.parse(values)
    except ParameterError as error:
        assert error.what


@pytest.mark.parametrize(
    "text",
    [
        "values: {password: correct-horse\nx: y\n",
        "values:\n  password: correct-horse\n password: x\n",
        *(f"values: {{password: {form}}}\n" for form in ("*correct-horse", "!correct-horse x")),
        *(f"values: {{a: !!{kind} correct-horse}}\n" for kind in ("int", "float", "timestamp")),
        "values: {a: '\\correct-horse\n",
        "values: {? [correct-horse] : x}\n",
        "values: {a: &correct-horse b, c: &correct-horse d}\n",
        "values: correct-horse\n",
        "correct-horse\n",
    ],
)
def test_errors_quote_no_value_that_may_be_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        Params.parse(load([path]))
    assert "correct-horse" not in str(caught.value)
    assert caught.value.fix or caught.value.see
