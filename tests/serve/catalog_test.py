"""Which models are served: folders of versions, folders of models, models.config files."""

import pathlib

import pytest

from tfzoo.core.errors import UserError
from tfzoo.serve import catalog


@pytest.fixture
def models(tmp_path):
    for part in ("cats/1", "cats/2", "dogs/00000123", "not_a_model/assets"):
        (tmp_path / part).mkdir(parents=True)
    return tmp_path


def test_a_folder_of_versions_is_one_model_named_for_it(models):
    assert catalog.find_models(models / "cats") == {"cats": models / "cats"}
    assert catalog.find_models(models / "cats", "pets") == {"pets": models / "cats"}


def test_a_folder_of_models_is_all_of_them_or_the_named_one(models):
    assert set(catalog.find_models(models)) == {"cats", "dogs"}
    assert catalog.find_models(models, "dogs") == {"dogs": models / "dogs"}


def test_versions_are_folders_named_by_whole_numbers(tmp_path):
    for name in ("1", "007", "v3", "1.5", "-2", ".9", "²", str(2**63)):
        (tmp_path / name).mkdir()
    (tmp_path / "4").touch()
    assert sorted(number for number, _ in catalog.versions(tmp_path)) == [1, 7]
    assert list(catalog.versions(tmp_path / "absent")) == []


def test_a_config_file_names_models(models):
    config = models / "models.config"
    config.write_text(
        """
        # two models
        model_config_list: {
          config { name: "a" base_path: "cats" model_platform: "tensorflow" },
          config: { name: 'b'; base_path: "%s"; }
        }
        """
        % (models / "dogs")
    )
    assert catalog.find_models(config) == {"a": models / "cats", "b": models / "dogs"}
    assert catalog.find_models(config, "b") == {"b": models / "dogs"}


def test_the_operators_own_config_file_can_be_read():
    path = pathlib.Path(__file__).parents[2] / "export" / "serving" / "models.config"
    assert catalog.read_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {", "a } is missing"),
        ("model_config_list { } }", "one } too many"),
        ("model_config_list { config { name:", "it ends too early"),
        ("model_config_list = 3", "line 1: '= 3'"),
        ('model_config_list { config { name: "a" } }', "needs a name of its own and a base_path"),
        (
            'model_config_list { config { name: "a" base_path: "cats" }\n'
            'config { name: "a" base_path: "dogs" } }',
            "needs a name of its own",
        ),
        (
            'model_config_list { config { name: "a" base_path: "cats" '
            "model_version_policy { all {} } } }",
            r"\['model_version_policy'\]",
        ),
        ("", "no model there"),
    ],
)
def test_config_files_that_cannot_be_followed_are_refused(models, text, message):
    config = models / "models.config"
    config.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        catalog.find_models(config)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_refused_with_the_way_out(models):
    with pytest.raises(UserError, match="no such folder"):
        catalog.find_models(models / "absent")
    with pytest.raises(UserError, match=r"no 'cows' there.*\['cats', 'dogs'\]"):
        catalog.find_models(models, "cows")
    with pytest.raises(UserError, match="no model there"):
        catalog.find_models(models / "not_a_model")
    (models / "cats" / "2" / "saved_model.pb").touch()
    with pytest.raises(UserError, match=r"a version folder was given.*Try '.*cats'"):
        catalog.find_models(models / "cats" / "2")
    with pytest.raises(UserError, match="may not hold"):
        catalog.find_models(models / "cats", "a/b")


def test_a_configured_model_without_versions_is_refused(models):
    config = models / "models.config"
    config.write_text('model_config_list { config { name: "a" base_path: "not_a_model" } }')
    with pytest.raises(UserError, match="model 'a' has no version"):
        catalog.find_models(config)
