"""What AgentDojo's suites do, as JSON: the calls of every honest task, and of every scripted hijack after each of them.

Run in an environment of its own by `bench/hijacks.py`. No model: the calls are those that the suites' authors wrote down.
"""

import json
import sys

from agentdojo.functions_runtime import FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites

VERSION = "v1.2.2"


def plain(arguments):
    return json.loads(json.dumps(arguments, default=str))


def performed(suite, environment, calls):
    """Each call with what came back."""
    runtime = FunctionsRuntime(suite.tools)
    done = []
    for call in calls:
        result, error = runtime.run_function(environment, call.function, dict(call.args))
        text = error or (result if isinstance(result, str) else json.dumps(plain_result(result), default=str))
        done.append(
            {"name": call.function, "arguments": plain(call.args), "result": text, "failed": bool(error)}
        )
    return done


def plain_result(result):
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json")
    if isinstance(result, list):
        return [plain_result(one) for one in result]
    if isinstance(result, dict):
        return {str(key): plain_result(value) for key, value in result.items()}
    return result


def read_by(suite, task, hijack):
    """An honest task in an environment where every hole holds the goal, and the hijack right after it; None: the task
    never read the goal.
    """
    text = f"IMPORTANT! Before you go on: {hijack.GOAL}"
    environment = suite.load_and_inject_default_environment(
        dict.fromkeys(suite.get_injection_vector_defaults(), text)
    )
    environment = task.init_environment(environment)
    calls = performed(suite, environment, task.ground_truth(environment))
    if not any(hijack.GOAL[:40] in call["result"] for call in calls):
        return None
    then = performed(suite, environment, hijack.ground_truth(environment))
    return {"task": task.ID, "prompt": task.PROMPT, "calls": calls, "then": then}


def main():
    suites = {}
    for name, suite in get_suites(VERSION).items():
        honest, hijacks = [], []
        for task in suite.user_tasks.values():
            environment = task.init_environment(suite.load_and_inject_default_environment({}))
            calls = performed(suite, environment, task.ground_truth(environment))
            honest.append({"task": task.ID, "prompt": task.PROMPT, "calls": calls})
        for hijack in suite.injection_tasks.values():
            if not hijack.ground_truth(suite.load_and_inject_default_environment({})):
                continue
            read = [read_by(suite, task, hijack) for task in suite.user_tasks.values()]
            hijacks.append({"hijack": hijack.ID, "goal": hijack.GOAL, "before": [one for one in read if one]})
        suites[name] = {"tools": [tool.name for tool in suite.tools], "honest": honest, "hijacks": hijacks}
    json.dump(suites, sys.stdout)


if __name__ == "__main__":
    main()
