from __future__ import annotations

from random import Random

import pytest

from music_lakehouse.simulator.state_machine import StateMachine, state_machine

PUT_307 = {"Submit Registration", "Save Settings", "Submit Upgrade", "Submit Downgrade", "Cancel", "Logout", "Login"}


def test_there_are_38_sources_with_198_transitions() -> None:
    transitions = [len(state.transitions) for state in state_machine().states.values()]
    assert sum(count > 0 for count in transitions) == 38
    assert sum(transitions) == 198


def test_no_state_leads_on_with_more_than_certainty() -> None:
    for (account, page), state in state_machine().states.items():
        assert 0 <= sum(p for _, p in state.transitions) <= 1 + 1e-9, (account, page)


@pytest.mark.parametrize(
    ("account", "page", "target_page", "target_account", "probability"),
    [
        ("Guest/free", "Register", "Submit Registration", "Logged In/free", 0.7),
        ("Logged In/free", "NextSong", "NextSong", "Logged In/free", 0.5),
        ("Logged In/free", "Submit Upgrade", "Home", "Logged In/paid", 1),
        ("Logged In/paid", "NextSong", "NextSong", "Logged In/paid", 0.925),
        ("Logged In/paid", "Submit Downgrade", "Home", "Logged In/free", 0.999),
        ("Logged In/paid", "Cancel", "Cancellation Confirmation", "Cancelled/paid", 0.999),
        ("Logged Out/free", "Login", "Home", "Logged Out/free", 0.099),
        ("Logged Out/paid", "Login", "Home", "Logged In/paid", 0.9),
    ],
)
def test_a_transition_has_its_target_and_probability(
    account: str, page: str, target_page: str, target_account: str, probability: float
) -> None:
    transitions = state_machine().states[account, page].transitions
    found = [p for state, p in transitions if (state.page, state.account) == (target_page, target_account)]
    assert found == [pytest.approx(probability)]


def test_pages_have_their_method_and_status() -> None:
    for state in state_machine().states.values():
        if state.page in PUT_307:
            expected = '"method":"PUT","status":307'
        elif state.page == "NextSong":
            expected = '"method":"PUT","status":200'
        else:
            expected = f'"method":"GET","status":{404 if state.page == "Error" else 200}'
        assert expected in state.page_text


def test_users_are_shown_only_while_logged_in_or_cancelled() -> None:
    shown = {state.auth for state in state_machine().states.values() if state.shows_user}
    hidden = {state.auth for state in state_machine().states.values() if not state.shows_user}
    assert shown == {"Logged In", "Cancelled"}
    assert hidden == {"Guest", "Logged Out"}


def test_draws_follow_the_probabilities(seed: int) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    state = StateMachine().states["Logged In/free", "NextSong"]
    draws = [state.draw_next(rng) for _ in range(20_000)]
    assert sum(drawn is None for drawn in draws) / 20_000 == pytest.approx(0.437, abs=0.02)
    assert sum(drawn is state for drawn in draws) / 20_000 == pytest.approx(0.5, abs=0.02)


def test_a_step_that_no_transition_leads_to_is_refused() -> None:
    home = state_machine().states["Logged In/free", "Home"]
    assert home.step_to("Upgrade").page == "Upgrade"
    with pytest.raises(KeyError, match="Downgrade doesn't follow Home"):
        home.step_to("Downgrade")
