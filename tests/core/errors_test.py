from tfzoo.core.errors import UserError


def test_a_users_mistake_is_a_value_error():
    # People who call tfzoo from Python catch ValueError.
    assert issubclass(UserError, ValueError)
