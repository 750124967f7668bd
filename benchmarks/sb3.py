"""Stable-Baselines3 (or SBX, its jax sibling) with the settings of benchmarks/processes.py: ALGORITHM STEPS WARMUP."""

import sys

import gymnasium


def dqn(steps: int, warmup: int) -> None:
    import ale_py
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    gymnasium.register_envs(ale_py)
    env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=1, seed=0), n_stack=4)
    epsilon = {"exploration_initial_eps": 0.05, "exploration_final_eps": 0.05}
    settings = {"buffer_size": 10_000, "batch_size": 32, "learning_starts": warmup, "train_freq": 4}
    DQN("CnnPolicy", env, 1e-4, target_update_interval=1_000, device="cpu", **settings, **epsilon).learn(steps)


def sac(steps: int, warmup: int) -> None:
    from stable_baselines3 import SAC

    env = gymnasium.make("HalfCheetah-v5")
    SAC("MlpPolicy", env, buffer_size=10_000, learning_starts=warmup, device="cpu").learn(steps)


def sbx(steps: int, warmup: int) -> None:
    from sbx import SAC

    env = gymnasium.make("HalfCheetah-v5")
    SAC("MlpPolicy", env, buffer_size=10_000, learning_starts=warmup).learn(steps)


if __name__ == "__main__":
    {"dqn": dqn, "sac": sac, "sbx": sbx}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
