import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'

/** Mistakes of people who write their first file, many with another system in mind, and the answer to each. */
type Mistakes = Readonly<Record<string, readonly string[]>>

const inAStep: Mistakes = {
  'retry: 3': [
    '4:36 retry in step "a" must be a map of keys and values, but is the number 3 | write retry: {max_attempts: 3}',
  ],
  'retries: 3': [
    '4:29 unknown key "retries" in step "a" | write retry: {max_attempts: 4}; the first try counts too',
  ],
  'retry: {attempts: 3, delay: 5s}': [
    '4:37 unknown key "attempts" in retry of step "a" | write max_attempts: 3',
    '4:50 unknown key "delay" in retry of step "a" | write backoff: {delay_seconds: 5}',
  ],
  'retryPolicy: {limit: 2}': [
    '4:29 unknown key "retryPolicy" in step "a" | write retry: {max_attempts: 3}; the first try counts too',
  ],
  'retry_count: 2': [
    '4:29 unknown key "retry_count" in step "a" | write retry: {max_attempts: 3}; the first try counts too',
  ],
  'loop: [a, b]': [
    '4:29 unknown key "loop" in step "a" | write foreach: [a, b]; each item is ${ITEM}, or "$ITEM" in a command',
  ],
  'with_items: [a, b]': [
    '4:29 unknown key "with_items" in step "a" | write foreach: [a, b]; each item is ${ITEM}, or "$ITEM" in a command',
  ],
  'strategy: {matrix: {NODE: [20, 22]}}': [
    '4:29 unknown key "strategy" in step "a" | write matrix: {NODE: [20, 22]}',
  ],
  'vars: {A: 1}': ['4:29 unknown key "vars" in step "a" | write env: {A: 1}'],
  'environment: [A=1]': ['4:29 unknown key "environment" in step "a" | write env: {A: "1"}'],
  'notify: restart': [
    '4:29 unknown key "notify" in step "a" | leave it out: write a separate step after it, with when: if it should not always run',
  ],
  'timeout: 30s': ['4:29 unknown key "timeout" in step "a" | write timeout_seconds: 30'],
  'timeout_seconds: 1h30m': [
    '4:46 timeout_seconds in step "a" must be a number, but is text "1h30m" | write timeout_seconds: 5400',
  ],
  'timeout-minutes: 5': ['4:29 unknown key "timeout-minutes" in step "a" | write timeout_seconds: 300'],
  'must_vars: [A]': ['4:29 unknown key "must_vars" in step "a" | write expect_vars: [A]'],
  'hosts: [web]': [
    '4:29 unknown key "hosts" in step "a" | write targets: [web]; each one is a host in inventory.hosts',
  ],
  'targets: local': ['4:38 targets in step "a" must be a list, but is text "local" | write targets: [local]'],
  'runs-on: ubuntu-latest': [
    '4:29 unknown key "runs-on" in step "a" | name a host: write targets: [build] here, and inventory: {hosts: {build: {labels: {os: linux}}}} at the top level',
  ],
  'if: failure()': ['4:29 unknown key "if" in step "a" | write when: \'${STAGE} == "prod"\''],
  'condition: lint_enabled == true': [
    '4:29 unknown key "condition" in step "a" | write when: "${lint_enabled} == true"',
  ],
  'when: 1': [
    '4:35 when in step "a" must be text or true or false, but is the number 1 | write when: \'${STAGE} == "prod"\'',
  ],
  'when: [a, b]': ['4:35 when in step "a" must be text or true or false, but is a list | write when: a && b'],
  'depends: [b]': ['4:29 unknown key "depends" in step "a" | write needs: [b]'],
  'dependsOn: b': ['4:29 unknown key "dependsOn" in step "a" | write needs: [b]'],
  'parallel: true': [
    '4:29 unknown key "parallel" in step "a" | steps run in parallel if they name the steps that come before them: needs: [other-step]',
  ],
  'continueOnError: true': ['4:29 unknown key "continueOnError" in step "a" | write continue_on_error: true'],
  'ignore_errors: true': ['4:29 unknown key "ignore_errors" in step "a" | write continue_on_error: true'],
  'fail_fast: false': [
    '4:29 unknown key "fail_fast" in step "a" | write continue_on_error: true; a step that fails ends the run, unless it has continue_on_error: true',
  ],
  'working_dir: /srv': ['4:29 unknown key "working_dir" in step "a" | write cwd: /srv under args'],
  'cwd: /srv': ['4:29 unknown key "cwd" in step "a" | write cwd: /srv under args'],
  'container: node:22': [
    '4:29 unknown key "container" in step "a" | write isolation: container and image: node:22',
  ],
  'register: out': ['4:29 unknown key "register" in step "a" | write outputs: {out: stdout}'],
  'outputs: [A]': [
    '4:38 outputs in step "a" must be a map of keys and values, but is a list | write outputs: {A: stdout}',
  ],
  'secrets: A': [
    '4:38 secrets in step "a" must be a list or a map of keys and values, but is text "A" | write secrets: [A]',
  ],
  'become: true': [
    '4:29 unknown key "become" in step "a" | write action: cmd.run and args: {cmd: sudo systemctl restart shop}; sudo is part of the command',
  ],
  'rollback: rm x': [
    '4:39 rollback in step "a" must be a map of keys and values, but is text "rm x" | write rollback: {action: cmd.run, args: {cmd: rm x}}',
  ],
  'matrix: [a]': [
    '4:37 matrix in step "a" must be a map of keys and values, but is a list | write matrix: {NODE: [22, 24]}',
  ],
  'rescue: []': [
    '4:29 unknown key "rescue" in step "a" | write finally: [{name: tell, when: \'${ERRAND_RUN_STATUS} == "failed"\', action: cmd.run, args: {cmd: echo "it failed"}}] at the top level; or rollback: in this step, to undo it',
  ],
  'with: {a: b}': [
    '4:29 unknown key "with" in step "a" | write args: {cmd: echo hello}; see docs/workflows.md for the arguments of each action',
  ],
  'description: x': ['4:29 unknown key "description" in step "a" | write it as a comment: # …'],
  'concurrency: 2': ['4:29 unknown key "concurrency" in step "a" | write max_parallel: 2'],
  'env: {MY-VAR: 1}': [
    '4:35 MY-VAR in env of step "a" is not a valid key: a variable name is at most 128 letters, digits or "_", does not start with a digit, and is not "__proto__" | write MY_VAR',
  ],
  'env: {A: }': [
    '4:38 A in env of step "a" must be text, a number or true or false, but is empty | write "" for an empty text',
  ],
  'resources: {cpus: 500m}': [
    '4:47 cpus in resources of step "a" must be a number, but is text "500m" | write cpus: 0.5',
  ],
  'limits: {ram: 4GB}': ['4:38 unknown key "ram" in limits of step "a" | write memory: 4GB'],
}

const insteadOfAnAction: Mistakes = {
  'run: npm ci': ['4:15 unknown key "run" in step "a" | write action: cmd.run and args: {cmd: npm ci}'],
  'command: npm ci': [
    '4:15 unknown key "command" in step "a" | write action: cmd.run and args: {cmd: npm ci}',
  ],
  'script: [npm ci, npm test]': [
    '4:15 unknown key "script" in step "a" | write action: shell.run and args: {script: "npm ci\\nnpm test"}',
  ],
  'shell: npm ci': ['4:15 unknown key "shell" in step "a" | write action: cmd.run and args: {cmd: npm ci}'],
  'shell: bash': [
    '4:15 unknown key "shell" in step "a" | write action: shell.run and args: {shell: bash, script: echo hello}',
  ],
  'uses: actions/checkout@v4': [
    '4:15 unknown key "uses" in step "a" | write action: cmd.run and args: {cmd: git clone --depth 1 https://example.org/shop.git .}; actions of other systems cannot be used; write what it does as a command',
  ],
  'copy: {src: a, dest: b}': [
    '4:15 unknown key "copy" in step "a" | write action: file.write and args: {path: /etc/shop.conf, content: "level = ${LEVEL}\\n"}',
  ],
  'workflow: part.yaml': [
    '4:15 unknown key "workflow" in step "a" | write action: workflow.run and args: {file: part.yaml}',
  ],
}

const actions: Mistakes = {
  'env.set': [
    '4:23 action in step "a" names "env.set", but there is no such action | write action: vars.set and args: {vars: {NAME: value}}',
  ],
  'script.shell': [
    '4:23 action in step "a" names "script.shell", but there is no such action | write action: shell.run and args: {script: echo hello}',
  ],
  'script.python': [
    '4:23 action in step "a" names "script.python", but there is no such action | write action: shell.run and args: {script: "#!/usr/bin/env python3\\nprint(\\"hello\\")\\n"}; the first line of the script names the program that runs it',
  ],
  'template.render': [
    '4:23 action in step "a" names "template.render", but there is no such action | write action: file.write and args: {path: /tmp/app.conf, content: "level = ${LEVEL}\\n"}; variables in content are filled in',
  ],
  shell: [
    '4:23 action in step "a" names "shell", but there is no such action | write action: shell.run and args: {script: echo hello}',
  ],
  'docker.run': [
    '4:23 action in step "a" names "docker.run", but there is no such action | write action: cmd.run, args: {cmd: node --version}, isolation: container and image: node:22',
  ],
  'actions/checkout@v4': [
    '4:23 action in step "a" names "actions/checkout@v4", but there is no such action | actions of other systems cannot be used; write what it does as a command: action: cmd.run',
  ],
  'ansible.builtin.copy': [
    '4:23 action in step "a" names "ansible.builtin.copy", but there is no such action | write action: file.write and args: {path: /tmp/app.conf, content: "level = ${LEVEL}\\n"}; variables in content are filled in',
  ],
}

const args: Mistakes = {
  'action: cmd.run, args: {cmd: x, dir: /srv}': [
    '4:47 unknown key "dir" in args of step "a" | write cwd: /srv',
  ],
  'action: cmd.run, args: {cmd: x, env: {A: 1}}': [
    '4:47 unknown key "env" in args of step "a" | write env: {A: 1} beside args',
  ],
  'action: cmd.run, args: {cmd: x, timeout: 1m}': [
    '4:47 unknown key "timeout" in args of step "a" | write timeout_seconds: 60 beside args',
  ],
  'action: cmd.run, args: {cmd: x, shell: bash}': [
    '4:47 unknown key "shell" in args of step "a" | write action: shell.run and args: {shell: bash, script: echo hello} in the step; cmd.run always uses /bin/sh',
  ],
  'action: cmd.run, args: {cmd: [echo, hi]}': [
    '4:44 cmd in args of step "a" must be text, but is a list | write cmd: "echo\\nhi"; it is one text; put each command on its own line after "cmd: |"',
  ],
  'action: cmd.run, args: {script: x}': ['4:39 unknown key "script" in args of step "a" | write cmd: x'],
  'action: cmd.run, args: {cmd: x, when: y}': [
    '4:47 unknown key "when" in args of step "a" | write when beside args, in the step itself',
  ],
  'action: shell.run, args: {cmd: x}': ['4:41 unknown key "cmd" in args of step "a" | write script: x'],
  'action: http.request, args: {uri: "https://e.org"}': [
    '4:44 unknown key "uri" in args of step "a" | write url: https://e.org',
  ],
  'action: http.request, args: {url: "https://e.org", json: {a: 1}}': [
    '4:66 unknown key "json" in args of step "a" | write body: \'{"a":1}\' and headers: {content-type: application/json}',
  ],
  'action: file.write, args: {dest: /x, content: y}': [
    '4:42 unknown key "dest" in args of step "a" | write path: /x',
  ],
  'action: vars.set, args: {A: 1}': ['4:40 unknown key "A" in args of step "a" | write vars: {A: 1}'],
  'action: approval.wait, args: {prompt: Go?}': [
    '4:45 unknown key "prompt" in args of step "a" | write message: Go?',
  ],
  'action: agent.run, args: {task: x}': ['4:41 unknown key "task" in args of step "a" | write prompt: x'],
  'action: workflow.run, args: {path: part.yaml}': [
    '4:44 unknown key "path" in args of step "a" | write file: part.yaml',
  ],
}

const atTheTop: Mistakes = {
  'jobs: {}': [
    '3:1 unknown key "jobs" at the top level | write steps: [{name: hello, action: cmd.run, args: {cmd: echo hello}}]; steps are one list; add needs: if they should not run one after another',
  ],
  'tasks: []': [
    '3:1 unknown key "tasks" at the top level | write steps: [{name: hello, action: cmd.run, args: {cmd: echo hello}}]; steps are one list; add needs: if they should not run one after another',
  ],
  'stages: [a]': [
    '3:1 unknown key "stages" at the top level | leave it out: steps run in the order of the list; with needs: [other-step] they form a graph',
  ],
  'schedule: "0 2 * * *"': [
    '3:1 unknown key "schedule" at the top level | leave it out: a file has no schedule; start it from cron or another system with: errand run FILE',
  ],
  'on: push': [
    '3:1 unknown key "on" at the top level | leave it out: a file has no schedule; start it from cron or another system with: errand run FILE',
  ],
  'vars: {A: 1}': ['3:1 unknown key "vars" at the top level | write env: {A: 1}'],
  'params: {A: 1}': ['3:1 unknown key "params" at the top level | write inputs: {A: {default: 1}}'],
  'handlers: []': [
    '3:1 unknown key "handlers" at the top level | write finally: [{name: restart, action: cmd.run, args: {cmd: echo hello}}]; to run a step only after a change, add when: to it',
  ],
  'hosts: [web]': [
    '3:1 unknown key "hosts" at the top level | write inventory: {hosts: {web: {address: http://10.0.0.5:7072}}}; and name it in the steps: targets: [web]',
  ],
  'groups: {web: [a]}': [
    '3:1 unknown key "groups" at the top level | write inventory: {hosts: {web1: {group: web}}}; there are no groups of hosts: name each host in targets; group: is a group of runners on a hub',
  ],
  'inventory: hosts.ini': [
    '3:12 inventory must be a map of keys and values, but is text "hosts.ini" | write inventory: {hosts: {web: {address: http://10.0.0.5:7072}}}',
  ],
  'inventory: {hosts: [web]}': [
    '3:20 hosts in inventory must be a map of keys and values, but is a list | write hosts: {web: {address: http://10.0.0.5:7072}}',
  ],
  'inventory: {hosts: {web: 10.0.0.5}}': [
    '3:26 web in inventory.hosts must be a map of keys and values, but is text "10.0.0.5" | write address: http://10.0.0.5:7072; a host is a map: {address: URL}',
  ],
  'inventory: {hosts: {web: {ansible_host: 10.0.0.5}}}': [
    '3:27 unknown key "ansible_host" in inventory.hosts.web | write address: http://10.0.0.5:7072',
  ],
  'inventory: {hosts: {web: {ansible_user: root}}}': [
    '3:27 unknown key "ansible_user" in inventory.hosts.web | leave it out: Errand does not use SSH; start "errand agent-server" on that host, or a runner of a hub',
  ],
  'inventory: {hosts: {web: {address: "10.0.0.5:7072"}}}': [
    '3:36 address in inventory.hosts.web is text "10.0.0.5:7072", but an address starts with http:// or https:// | write address: http://10.0.0.5:7072',
  ],
  'env: [A=1]': ['3:6 env must be a map of keys and values, but is a list | write env: {A: "1"}'],
  'environment: production': [
    '3:1 unknown key "environment" at the top level | write env: {STAGE: production}',
  ],
  'secrets: [A]': ['3:1 unknown key "secrets" at the top level | write secrets: [TOKEN] in the step'],
  'needs: [a]': ['3:1 unknown key "needs" at the top level | write needs: [other-step] in the step'],
  'timeout: 1h': ['3:1 unknown key "timeout" at the top level | write timeout_seconds: 3600'],
  'on_failure: x': [
    '3:1 unknown key "on_failure" at the top level | write finally: [{name: tell, when: \'${ERRAND_RUN_STATUS} == "failed"\', action: cmd.run, args: {cmd: echo "it failed"}}]',
  ],
  'before_script: [x]': [
    '3:1 unknown key "before_script" at the top level | write steps: [{name: prepare, action: cmd.run, args: {cmd: echo hello}}]; put it first in the list of steps',
  ],
  'concurrency: deploy': [
    '3:14 concurrency must be a map of keys and values, but is text "deploy" | write concurrency: {group: deploy}',
  ],
  'concurrency: {group: a, cancel-in-progress: true}': [
    '3:25 unknown key "cancel-in-progress" in concurrency | leave it out: later runs wait for their turn',
  ],
  'inputs: [A]': [
    '3:9 inputs must be a map of keys and values, but is a list | write inputs: {A: {required: true}}',
  ],
  'inputs: {A: x}': [
    '3:13 A in inputs must be a map of keys and values, but is text "x" | write {default: x}',
  ],
  'inputs: {A: {type: integer}}': [
    '3:20 type in inputs.A must be "string", "number" or "boolean", but is text "integer" | write type: number',
  ],
  'inputs: {A: {type: choice}}': [
    '3:20 type in inputs.A must be "string", "number" or "boolean", but is text "choice" | write enum: [dev, prod]',
  ],
  'outputs: [A]': [
    '3:10 outputs must be a map of keys and values, but is a list | write outputs: {A: "${A}"}',
  ],
  'build: {stage: build, script: [make]}': [
    '3:1 unknown key "build" at the top level | write steps: [{name: build, action: cmd.run, args: {cmd: make}}]',
  ],
  'services: {web: {image: nginx}}': [
    '3:1 unknown key "services" at the top level | steps run commands that end; for a program that keeps running, start a bot: errand bot start web --image nginx',
  ],
  'apiVersion: argoproj.io/v1alpha1': [
    '3:1 unknown key "apiVersion" at the top level | this is not a workflow file of Errand; such a file starts with version: v0.1, then name: and steps:',
  ],
}

const wholeFiles: Mistakes = {
  '': ['undefined:undefined the workflow is empty | start with version: v0.1, then name: demo and steps:'],
  '- hosts: web\n  tasks: []\n': [
    '1:1 a workflow must be a map of keys and values, but this is a list | start with version: v0.1 and name: demo, and put the list of steps under steps:',
  ],
  'version: v0.1\nname: w\n': [
    '1:1 steps is missing | write steps: [{name: hello, action: cmd.run, args: {cmd: echo hello}}]',
  ],
  'version: v0.1\nname: w\nsteps: []\n': [
    '3:8 steps must not be empty | write steps: [{name: hello, action: cmd.run, args: {cmd: echo hello}}]',
  ],
  'version: v0.1\nname: w\nsteps:\n': [
    '3:7 steps must be a list, but is empty | write steps: [{name: hello, action: cmd.run, args: {cmd: echo hello}}]',
  ],
  'version: v0.1\nname: w\nsteps: echo hi\n': [
    '3:8 steps must be a list, but is text "echo hi" | write steps: [{name: run, action: cmd.run, args: {cmd: echo hi}}]',
  ],
  'version: v0.1\nname: w\nsteps:\n  build: {run: make}\n': [
    '4:3 steps must be a list, but is a map | write steps: [{name: build, action: cmd.run, args: {cmd: make}}]; steps is a list, and each entry has its own name',
  ],
  'version: v0.1\nname: w\nsteps:\n  - echo hi\n': [
    '4:5 step 1 must be a map of keys and values, but is text "echo hi" | write name: build, action: cmd.run and args: {cmd: echo hi}',
  ],
  'version: v0.1\nname: w\nsteps:\n  - build: {action: noop}\n': [
    '4:5 unknown key "build" in step 1 | write name: build and action: noop; name is a key like the others',
  ],
  'version: 1\nname: w\nsteps: [{name: a, action: noop}]\n': [
    '1:10 version must be "v0.1", but is the number 1 | write version: v0.1',
  ],
  'version: v0.1\nsteps: [{name: a, action: noop}]\n': ['1:1 name is missing | write name: demo'],
  'version: v0.1\nname: w\nsteps:\n  - {action: noop}\n': [
    '4:5 name in step 1 is missing | write name: build',
  ],
  'version: v0.1\nname: w\nsteps:\n  - {name: a}\n': [
    '4:5 action in step "a" is missing | write action: cmd.run and args: {cmd: echo hello}',
  ],
  'version: v0.1\nname: w\nsteps:\n  - {name: a, action: cmd.run}\n': [
    '4:5 args in step "a" is missing | write args: {cmd: echo hello}',
  ],
  'version: v0.1\nname: w\nsteps:\n\t- {name: a}\n': [
    '4:1 a tab is used for indentation | indent YAML only with spaces',
  ],
}

const head = 'version: v0.1\nname: w\n'

test('reports every mistake with its place and what to write instead', () => {
  const all: [Mistakes, (written: string) => string][] = [
    [inAStep, (key) => `${head}steps:\n  - {name: a, action: noop, ${key}}\n`],
    [insteadOfAnAction, (key) => `${head}steps:\n  - {name: a, ${key}}\n`],
    [actions, (name) => `${head}steps:\n  - {name: a, action: ${name}}\n`],
    [args, (keys) => `${head}steps:\n  - {name: a, ${keys}}\n`],
    [atTheTop, (key) => `${head}${key}\nsteps: [{name: a, action: noop}]\n`],
    [wholeFiles, (text) => text],
  ]
  for (const [mistakes, file] of all)
    for (const [written, expected] of Object.entries(mistakes)) {
      const { problems } = parseWorkflow(file(written), { catalog })
      assert.deepEqual(
        problems.map(({ line, column, message, hint }) => `${line}:${column} ${message} | ${hint}`),
        expected,
        written,
      )
    }
})
