"""A stack for each test."""

import pytest
from aws_cdk import App, Stack


@pytest.fixture
def stack() -> Stack:
    return Stack(App(analytics_reporting=False), "Stack")
