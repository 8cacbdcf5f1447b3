"""How long a run takes is printed before it starts, and decides its length on request."""

from types import SimpleNamespace

import pytest

from backbones.data.configs.schedules import Pace, Plan, plan_for
from backbones.errors import UserError
from backbones.training.pace import duration, forecast


def test_the_epochs_fill_the_time_that_validations_leave() -> None:
    plan = Plan(epochs=99, batch=4, images=200)
    made = plan_for(10, plan, Pace(iteration=0.5, evaluation=10))
    assert made.validations == 8  # 90 s of 600, one of them for the results page
    assert made.epochs == 19  # 480 s in epochs of 25
    assert '10 minutes' in made.why and '0.5 s' in made.why
    short = plan_for(2, plan, Pace(iteration=0.5, evaluation=10))
    assert (short.epochs, short.validations) == (2, 2)
    with pytest.raises(UserError, match=r'one epoch of 50 iterations .* takes 2 minutes'):
        plan_for(1, plan, Pace(iteration=0.5, evaluation=10))


@pytest.mark.parametrize(
    'workers, said', [(0, '100 iterations of 1.5 s'), (2, '100 iterations of 1 s')]
)
def test_the_forecast_counts_iterations_and_validations(workers: int, said: str) -> None:
    loop = SimpleNamespace(iter=20, max_iters=120, val_interval=40)
    val = SimpleNamespace(dataloader=range(3))
    loader = SimpleNamespace(num_workers=workers)
    runner = SimpleNamespace(train_loop=loop, val_loop=val, train_dataloader=loader)
    text = forecast(runner, loading=0.5, step=1.0, predicting=2.0)
    assert said in text and '2 validations of 6 s' in text


def test_durations() -> None:
    assert [duration(s) for s in (20, 100, 7199, 9000)] == [
        '1 min',
        '2 min',
        '120 min',
        '2.5 hours',
    ]
