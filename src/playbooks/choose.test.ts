import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { ErrandError } from '../contract/errors.ts'
import { Playbook } from '../contract/tasks/playbook.ts'
import { choosePlaybook, type PlaybookPlaces, type TestsOfTask } from './choose.ts'
import type { ReadFile } from './found.ts'

const reader =
  (files: Record<string, string>): ReadFile =>
  async (path, maxBytes) =>
    files[path] === undefined ? undefined : Buffer.from(files[path]).subarray(0, maxBytes)
const choose = (task: TestsOfTask, files: Record<string, string>, more: Partial<PlaybookPlaces> = {}) =>
  choosePlaybook(task, { repository: reader(files), ...more })
const book = (name: string, skill?: string) =>
  `{name: ${name}, ${skill === undefined ? '' : `required_skill: ${skill}, `}steps: [{name: a, command: b}]}`
const value = (name: string, skill?: string) =>
  Playbook.parse({ name, required_skill: skill, steps: [{ name: 'a', command: 'b' }] })
const repository = '.errand/playbook.yaml'

test("the order is: the task's own, its test_commands, the repository's, the hub's, the one found", async () => {
  const files = { [repository]: book('repo'), 'ci/own.yaml': book('path'), 'go.mod': 'module x' }
  const hub = [value('hub')]
  const all = { playbook: value('own'), playbook_path: 'ci/own.yaml', test_commands: ['make check'] }
  const cases: [TestsOfTask, Record<string, string>, string, string][] = [
    [all, files, 'task', 'Playbook "own" from the task itself.'],
    [
      { ...all, playbook: undefined },
      files,
      'playbook_path',
      'Playbook "path" from ci/own.yaml in the repository, because playbook_path of the task names it.',
    ],
    [
      { test_commands: ['make check'] },
      files,
      'test_commands',
      'One command, from test_commands of the task.',
    ],
    [
      { test_commands: [] },
      files,
      'repository',
      'Playbook "repo" from .errand/playbook.yaml in the repository.',
    ],
    [{}, { 'go.mod': '' }, 'hub', 'Playbook "hub" from the hub; the repository has no matching playbook.'],
  ]
  for (const [task, names, source, why] of cases) {
    const chosen = await choose(task, names, { hub })
    assert.deepEqual([chosen.source, chosen.why], [source, why])
  }
  const found = await choose({}, { 'go.mod': '' })
  assert.equal(found.why, 'Found: go test ./..., because go.mod exists; there is no playbook.')
  assert.deepEqual((await choose(all, files)).notes, [
    'playbook_path (ci/own.yaml) of the task is not used.',
    'test_commands of the task are not used.',
  ])
})

test("test_commands become one playbook with the task's fail_fast and timeout", async () => {
  const task = { test_commands: ['npm test\nnpm run e2e', ' \u202e '], fail_fast: false }
  const { playbook } = await choose(task, {})
  const step = {
    fail_fast: false,
    timeout_seconds: 1800,
    retry_count: 0,
    phase: 'test',
    allow_failure: false,
    commits: false,
  }
  assert.deepEqual(playbook, {
    name: 'test_commands',
    steps: [
      { ...step, name: 'npm test', command: 'npm test\nnpm run e2e' },
      { ...step, name: 'command', command: ' \u202e ' },
    ],
  })
  const { playbook: short } = await choose({ test_commands: ['x'.repeat(300)], timeout_seconds: 60 }, {})
  assert.deepEqual([short?.steps[0]?.name.length, short?.steps[0]?.timeout_seconds], [80, 60])
})

test('a playbook for the required skill precedes one for any skill; one for another skill is not used', async () => {
  const many = `playbooks: [${book('front', 'frontend')}, ${book('any')}, ${book('back', 'backend')}]`
  const backend = await choose({ required_skill: 'backend' }, { [repository]: many })
  assert.equal(
    backend.why,
    'Playbook "back" from .errand/playbook.yaml in the repository, because the task requires the skill "backend".',
  )
  assert.deepEqual(backend.notes, ['Not used from .errand/playbook.yaml: "front", "any".'])
  assert.equal((await choose({}, { [repository]: many })).playbook?.name, 'any')
  assert.match(
    (await choose({ required_skill: 'ops' }, { [repository]: many })).why,
    /"any" from .* in the repository, which has no playbook for the skill "ops" but has this one for any task\.$/,
  )
  const hub = [value('a', 'ops'), value('b'), value('c')]
  const other = await choose({}, { [repository]: book('front', 'frontend') }, { hub })
  assert.equal(other.playbook?.name, 'b')
  assert.deepEqual(other.notes, [
    '.errand/playbook.yaml only has playbooks for other skills: frontend.',
    'Not used from the hub\'s playbooks: "c".',
  ])
})

test('errand.yaml can contain playbooks among other things; the separate playbook file takes precedence', async () => {
  const shared = `url: https://hub\nplaybook: ${book('shared')}`
  assert.equal((await choose({}, { 'errand.yaml': shared })).playbook?.name, 'shared')
  const both = await choose({}, { 'errand.yaml': shared, [repository]: book('own') })
  assert.equal(both.playbook?.name, 'own')
  assert.deepEqual(both.notes, ['Not used from errand.yaml: "shared".'])
  assert.equal((await choose({}, { 'errand.yaml': 'url: https://hub' })).source, 'none')
})

async function refusal(task: TestsOfTask, files: Record<string, string>, more?: Partial<PlaybookPlaces>) {
  try {
    await choose(task, files, more)
  } catch (error) {
    assert.ok(error instanceof ErrandError && error.code === 'invalid_playbook', String(error))
    return error.message
  }
  throw new Error('nothing was refused')
}

test('an invalid playbook is refused, and nothing else replaces it', async () => {
  const wrong = 'name: p\nsteps: [{name: a, comand: b}]'
  assert.match(
    await refusal({}, { [repository]: wrong, 'go.mod': '' }),
    /^\.errand\/playbook\.yaml has 2 mistakes: command in step "a" is missing \(line 2/,
  )
  assert.match(await refusal({}, { [repository]: '#'.repeat(300_000) }), /more than 256 KiB/)
  assert.match(
    await refusal({ playbook: { name: 'p', steps: [{ name: 'a', command: 'b', condition: '(' }] } }, {}),
    /^playbook of the task has a mistake: condition in step "a" cannot be read at character 2/,
  )
  assert.match(
    await refusal({ playbook: { playbooks: [] } }, {}),
    /^playbook of the task contains no playbook/,
  )
  assert.match(await refusal({ test_commands: ['a\0b'] }, {}), /^test_commands of the task has a mistake/)
})

test("playbook_path is a file in the repository or in the hub's folder, and cannot lead out of either", async () => {
  const hubFolder = reader({ 'shared.yaml': book('shared') })
  const { why } = await choose({ playbook_path: './shared.yaml' }, {}, { hubFolder })
  assert.equal(
    why,
    'Playbook "shared" from shared.yaml in the hub\'s folder, because playbook_path of the task names it.',
  )
  assert.match(
    await refusal({ playbook_path: 'x.yaml' }, {}, { hubFolder }),
    /"x.yaml" not found: .*, nor does the hub's folder of playbooks\.$/,
  )
  for (const path of [
    '../x',
    '/etc/passwd',
    'a/../../b',
    '.git/config',
    'a//b',
    '',
    'a\\b',
    'a\0b',
    '.GIT/x',
  ])
    assert.match(
      await refusal({ playbook_path: path }, { [path]: book('p') }),
      /is not a path in the repository/,
    )
})

const node = (more: object = {}) =>
  JSON.stringify({ scripts: { test: 'vitest run' }, devDependencies: { vitest: '1' }, ...more })

test("a test command is found from the repository's files, with the tool of the lock file", async () => {
  const cases: [Record<string, string>, string[], RegExp][] = [
    [
      { 'package.json': node(), 'package-lock.json': '{}' },
      ['npm ci', 'npm test'],
      /package-lock\.json names npm/,
    ],
    [{ 'package.json': node() }, ['npm install --no-package-lock', 'npm test'], /has a script "test"; there/],
    [
      { 'package.json': node(), 'pnpm-lock.yaml': '' },
      ['pnpm install --frozen-lockfile', 'pnpm test'],
      /pnpm-lock\.yaml names pnpm/,
    ],
    [
      { 'package.json': node(), 'yarn.lock': '# yarn lockfile v1\n' },
      ['yarn install --frozen-lockfile', 'yarn test'],
      /yarn\.lock names yarn/,
    ],
    [
      { 'package.json': node(), 'yarn.lock': '#\n\n__metadata:\n  version: 8\n' },
      ['yarn install --immutable', 'yarn test'],
      /yarn\.lock names yarn/,
    ],
    [
      { 'package.json': node(), 'bun.lockb': '\0' },
      ['bun install --frozen-lockfile', 'bun run test'],
      /bun\.lockb names bun/,
    ],
    [{ 'package.json': node({ packageManager: 'pnpm@9.1.0' }) }, ['pnpm test'], /packageManager names pnpm/],
    [{ 'package.json': '\ufeff{"scripts": {"test": "node --test"}}' }, ['npm test'], /script "test"; there/],
    [{ Makefile: 'all: x\n\t./x\ncheck test: all\n' }, ['make test'], /Makefile has a target "test"/],
    [{ GNUmakefile: 'check::\n', Makefile: 'test:\n' }, ['make check'], /GNUmakefile has a target "check"/],
    [
      { 'pyproject.toml': '[tool.pytest.ini_options]' },
      ['python3 -m pytest'],
      /pyproject\.toml names pytest/,
    ],
    [
      { 'pyproject.toml': 'dependencies = ["pytest>=8"]', 'uv.lock': '' },
      ['uv run pytest'],
      /uv\.lock names uv/,
    ],
    [
      { 'conftest.py': '', 'poetry.lock': '' },
      ['poetry install', 'poetry run pytest'],
      /conftest\.py exists/,
    ],
    [{ 'setup.cfg': '[metadata]\n[tool:pytest]\n' }, ['python3 -m pytest'], /setup\.cfg names pytest/],
    [{ 'go.mod': '' }, ['go test ./...'], /go\.mod/],
    [{ 'Cargo.toml': '' }, ['cargo test'], /Cargo\.toml/],
  ]
  for (const [files, commands, why] of cases) {
    const { playbook, why: reason, source } = await choose({}, files)
    assert.equal(source, 'found')
    assert.deepEqual(
      playbook?.steps.map(({ command }) => command),
      commands,
    )
    assert.match(reason, why)
    // Setup steps are guesses and may fail: the tests will show what is missing.
    for (const { command, phase, allow_failure } of playbook?.steps ?? [])
      assert.equal(allow_failure, phase === 'setup', command)
  }
})

test('of several test commands the first is used and all are named', async () => {
  const files = {
    'package.json': node(),
    'package-lock.json': '',
    'yarn.lock': '',
    Makefile: 'test:\n',
    'Cargo.toml': '',
  }
  const { playbook, notes } = await choose({}, files)
  assert.equal(playbook?.steps.at(-1)?.command, 'npm test')
  assert.deepEqual(notes, [
    'There are several lock files, package-lock.json, yarn.lock; package-lock.json is used.',
    'Not used: make test, although Makefile has a target "test".',
    'Not used: cargo test, although Cargo.toml exists.',
  ])
  const yarn = await choose({}, { ...files, 'package.json': node({ packageManager: 'yarn@1.22.0' }) })
  assert.equal(yarn.playbook?.steps.at(-1)?.command, 'yarn test')
})

test('if nothing tests the repository, a message says so and what was left out', async () => {
  const placeholder = 'echo "Error: no test specified" && exit 1'
  const { playbook, source, why, notes } = await choose(
    {},
    {
      'package.json': JSON.stringify({ scripts: { test: placeholder } }),
      Makefile: 'test := 1\ntest ::= 2\nall:\n\ttest: no\n# test:\n',
      'pyproject.toml': '[project]\nname = "x"',
      'setup.cfg': 'x'.repeat(1024 * 1024 + 1),
    },
  )
  assert.deepEqual([playbook, source], [undefined, 'none'])
  assert.match(why, /^Tests: none\. /)
  assert.deepEqual(notes, [
    'The script "test" of package.json is the default from npm init, which tests nothing.',
    'Makefile has no target "test" or "check".',
    'setup.cfg is larger than 1 MiB and was not read.',
  ])
  for (const [content, note] of [
    ['{', 'package.json is not valid JSON.'],
    ['[]', 'package.json has no script "test".'],
    ['{"scripts": {"test": 7}}', 'package.json has no script "test".'],
  ])
    assert.deepEqual((await choose({}, { 'package.json': content! })).notes, [note])
})

test('files of a hostile repository do not take noticeable time', async () => {
  const mebibyte = 1024 * 1024
  const files = {
    'package.json': JSON.stringify({ scripts: { test: `${' '.repeat(900_000)}echo` } }),
    Makefile: 'a '.repeat(mebibyte / 2 - 1),
    'pyproject.toml': '\n'.repeat(mebibyte),
    'tox.ini': ' '.repeat(mebibyte),
    'setup.cfg': '["'.repeat(mebibyte / 2),
  }
  assert.equal((await choose({}, files)).playbook?.steps.at(-1)?.command, 'npm test')
  assert.equal((await choose({}, { ...files, 'package.json': '{' })).source, 'none')
})

test('a playbook is read from the commit that the agent started with, whatever the agent wrote later', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-choose-'))
  try {
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
        cwd: folder,
        stdio: 'pipe',
      })
    const write = (text: string) => {
      mkdirSync(dirname(join(folder, repository)), { recursive: true })
      writeFileSync(join(folder, repository), text)
    }
    git('init', '-q')
    write(book('base'))
    git('add', '-A')
    git('commit', '-qm', 'base')
    write(book('agent'))
    git('commit', '-qam', 'agent')
    const atBase: ReadFile = async (path, maxBytes) => {
      try {
        return git('cat-file', 'blob', `HEAD~1:${path}`).subarray(0, maxBytes)
      } catch {
        return undefined
      }
    }
    assert.equal((await choosePlaybook({}, { repository: atBase })).playbook?.name, 'base')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
