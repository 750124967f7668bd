"""Lines that cannot be run: exit code 2 and one sentence each, without a traceback and without a run directory."""

import pytest

ONE = [
    (["--steps=1.5"], "--steps: '1.5' is not a count; write e.g. 100000, 100k or 2.5M"),
    (["--steps=1e6"], "'1e6' is not a count"),
    (["--steps=-3"], "'-3' is not a count"),
    (["--warmup", "-3"], "--warmup: '-3' is not a count"),
    (["--eval-every=3:foo"], "--eval-every: '3:foo': no unit 'foo'; write one of steps, updates"),
    (["--eval-every=10k,5k"], "'10k,5k' is not a period; write e.g. 100k"),
    (["--max-time=3x"], "--max-time: '3x' is not a duration; write e.g. 90s"),
    (["--env=Pnog"], "no environment 'Pnog'; did you mean Pong?"),
    (["--env="], "no environment ''; write e.g. MontezumaRevenge"),
    (["--env"], "Missing value for argument '--env'"),
    (["--preset"], "Missing value for argument '--preset'"),
    (["--config"], "Missing value for argument '--config'"),
    (["--preset=suit"], "no preset 'suit'; did you mean suite?"),
    (["--preset=suite"], "preset suite is for atari environments; toy:chain is toy: use none"),
    (["--device=gpu"], "no device 'gpu'; did you mean cpu?"),
    (["--device=tpux"], "no device 'tpux'; write auto, cpu or cuda:0"),
    (["--device=cuda:x"], "no device 'cuda:x'"),
    (["--gama=0.9"], "--gama=0.9; did you mean --gamma?"),
    (["--gama", "0.9"], "--gama, 0.9; did you mean --gamma?"),
    (["--reset_evry=3"], "--reset_evry=3; did you mean --reset-every?"),
    (["extra"], "extra"),
    (["--redo-when=dormnt > 0.3"], "redo_when: no number 'dormnt' is recorded; did you mean dormant?"),
    (["--redo-when=dormant > 0.3"], "no number 'dormant' is recorded; measure it by --probe-every"),
    (["--redo-when=return/evl > 3"], "redo_when: no number 'return/evl' is recorded; did you mean return/eval?"),
    (["--redo-when=speed/steps > 3"], "redo_when: no number 'speed/steps' is recorded"),
    (
        ["--loss=l1"],
        "Expected one of ('huber', 'mse', 'hl_gauss', 'two_hot', 'two_hot_symlog', 'c51', 'quantile').",
    ),
    (
        ["--qdagger-from=x", "--eval-every=never"],
        "qdagger_from: no evaluation comes before the end (eval_every never); evaluate earlier, or take --qdagger-s",
    ),
    (["--qdagger-from=x", "--steps=100k", "--eval-every=100k"], "no evaluation comes before the end (eval_every 100k)"),
    (["--betas=0.9"], "'--betas'. Expected 2 values"),
    (["--hidden", "8", "8.5"], "--hidden"),
    (["--gamma=2"], "gamma is 2.0, but must be from 0 to 1"),
    (["--gamma=nan"], "gamma is nan"),
    (["--lr=inf"], "lr is inf"),
    (["--width=inf"], "width is inf"),
    (["--replay-ratio=inf"], "replay_ratio is inf"),
    (["--seed=-1"], "seed is -1"),
    (["--num-envs=0"], "num_envs is 0"),
    (["--n-step=-1"], "n_step is -1"),
    (["--hidden=0"], "hidden is (0,)"),
    (["--epsilon-eval=2"], "epsilon_eval is 2.0, but must be from 0 to 1"),
    (["--target-every=1:targets"], "target_every is 1:targets"),
    (["--capacity=3", "--num-envs=2"], "capacity 3 holds no transition of 2 envs"),
    (["--sticky=0.5"], "sticky is an Atari setting; toy:chain has none"),
    (["--padding=same"], "padding same is for convolutions"),
    (["--env=Pendulum-v1"], "DQN needs discrete actions; Pendulum-v1 has 1 continuous ones"),
    (["--env=CartPole-v1", "--preset=none", "--sticky=0.1"], "sticky is an Atari setting; CartPole-v1 has none"),
    (["--optreset-every=1:targets", "--target-tau=0.5"], "part q has no hard target copies; write e.g. 2k:updates"),
    (
        ["--reset-every=10", "--reset-groups=haed"],
        "no group 'haed', there are fc1, head, torso, value, writer; did you",
    ),
    (["--reset-every=10", "--reset-parts=actor"], "reset_parts: no part 'actor', there are q"),
    (["--redo-every=10", "--redo-tau=nan"], "redo_tau is nan, but must be at least 0"),
    (["--shrink-every=10", "--shrink-noise=nan"], "shrink_noise is nan"),
    (["--shrink-every=10", "--shrink-factor=2"], "shrink_factor is 2.0, but must be from 0 to 1"),
    (["--config=none.toml"], "--config none.toml: No such file or directory"),
    (["--config=."], "--config .: Is a directory"),
]


@pytest.mark.parametrize(("flags", "sentence"), ONE, ids=[" ".join(flags) for flags, _ in ONE])
def test_a_line_that_cannot_be_run_is_one_sentence(command, tmp_path, flags, sentence):
    code, lines = command(*flags)
    assert code == 2
    (line,) = lines
    assert line.startswith("error: ")
    assert sentence in line
    assert not list(tmp_path.glob("results/**/config.json"))


def test_all_problems_are_told_a_line_each(command):
    code, lines = command("--gamma=3", "--width=0", "--steps=0")
    assert code == 2
    assert [line.split()[1] for line in lines] == ["steps", "gamma", "width"]


def test_all_refusals_of_the_methods_are_told_a_line_each(command):
    flags = ("--reset-every=9", "--reset-groups=x", "--redo-every=9", "--redo-tau=-1", "--redo-batch=0")
    code, lines = command(*flags)
    assert code == 2
    assert [line.split()[1] for line in lines] == ["reset_groups:", "redo_tau", "redo_batch"]


@pytest.mark.parametrize("flag", ["--gama=0.9", "--loss=l1", "extra", "--steps=1.5", "--betas=0.9"])
def test_the_sentence_does_not_depend_on_the_terminal(command, monkeypatch, flag):
    heard = []
    for boxes, columns in ((True, "80"), (False, "80"), (True, "30"), (False, "200")):
        monkeypatch.setattr("tyro._fmtlib._should_use_utf8_drawing_chars", lambda boxes=boxes: boxes)
        monkeypatch.setenv("COLUMNS", columns)
        heard.append(command(flag)[1])
    assert heard == [heard[0]] * 4
    assert heard[0][0].isascii()


CONFIGS = [
    ("gama = 3\nqqq = 1\n", ["no flag 'gama'; did you mean gamma?", "no flag 'qqq'; there are act_by"]),
    ("target-every = 3", ["no flag 'target-every'; did you mean target_every?"]),
    ("[net]\nwidth = 2", ["no flag 'net'", "net: {'width': 2} is not a value"]),
    ("lr = 'abc'", ["--lr: could not convert string to float: 'abc'"]),
    ("steps = 'banana'", ["--steps: 'banana' is not a count"]),
    ("env = 3", ["no environment '3'"]),
    ("preset = 3", ["no preset '3'"]),
    ("lr = 1\nlr = 2", ["Cannot overwrite a value"]),
    ("= 1", ["Invalid"]),
]


@pytest.mark.parametrize(("text", "sentences"), CONFIGS, ids=[text.split("\n")[0] for text, _ in CONFIGS])
def test_a_config_that_cannot_be_run_names_its_file_and_every_key(tmp_path, text, sentences):
    from agents.dqn import DQNConfig
    from agents.flags import BadInput, parse

    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        parse("dqn", DQNConfig, [f"--config={path}"])
    lines = str(refused.value).splitlines()
    assert len(lines) == len(sentences)
    assert all(sentence in line for line, sentence in zip(lines, sentences, strict=True))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[1]", "not a table of flags"), ('{"steps": null}', "steps: None is not a value"), ("{", "Expecting property")],
)
def test_a_json_that_is_no_config_is_refused(command, tmp_path, text, sentence):
    (tmp_path / "c.json").write_text(text)
    code, lines = command("--config=c.json")
    assert code == 2
    assert lines[0].startswith("error: --config c.json")
    assert sentence in lines[0]


def test_a_config_of_another_agent_is_refused(command, tmp_path):
    (tmp_path / "c.json").write_text('{"agent": "sac", "lr": 0.1}')
    assert command("--config=c.json") == (
        2,
        ["error: --config c.json: this is a config of agents.sac, not of agents.dqn"],
    )
