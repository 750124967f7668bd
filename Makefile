# make run    trains DQN on Montezuma's Revenge for a few minutes, with resets that fire
# make test   every test but the slow ones          make check  format, lint, types
# make learn  what must learn, does                 make soak   kill and resume, bit for bit
# make slow   every slow test                       make bench  speed and memory beside the peers
# make laws   every method with everything else
# make dash   TensorBoard over results/             make docs   docs/methods.md from the code

PYTHON ?= python3
BIN := .venv/bin
ARGS ?= --env MontezumaRevenge --steps 10k --warmup 1k --reset-every 2k --capacity 50k --probe-every 500
.DEFAULT_GOAL := help
.PHONY: help run test check learn soak slow laws bench dash docs

help:
	@sed -n 's/^# //p' Makefile

# A half-made environment has no stamp and is made again.
.venv/stamp: constraints.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mujoco,data,report,dev]'
	touch $@

run: .venv/stamp
	$(BIN)/python -m agents.dqn $(ARGS)

test: .venv/stamp
	-@$(BIN)/python -m envs.camera
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

check: .venv/stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

learn: .venv/stamp
	$(BIN)/python -m pytest -m slow tests/learn

soak: .venv/stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak

slow: .venv/stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m slow --ignore tests/learn --ignore tests/laws

laws: .venv/stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "slow or not slow" tests/laws

bench: .venv/stamp
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt stable-baselines3==2.9.2
	$(BIN)/python -m benchmarks.speed $(BENCH)

dash: .venv/stamp
	$(BIN)/tensorboard --logdir results

docs: .venv/stamp
	$(BIN)/python -m docs.methods
