import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { attemptSpec, endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import type { TestFigures } from '../../contract/tasks/task-facts.ts'
import type { PlatformStep } from '../platform-steps/platform-step.ts'
import { filesOfCommit } from './commit-files.ts'
import { playbookRun } from './playbook-run.ts'
import { taskVerdict } from './task-verdict.ts'
import { SNAPSHOT_COMMAND } from './verify-commands.ts'

const skip = sandboxMissing()

function git(folder: string, ...args: string[]): string {
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'init.defaultBranch=main']
  return execFileSync('git', ['-C', folder, ...who, ...args], { encoding: 'utf8' }).trim()
}

function write(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** Makes a run's workspace with these files committed, and separate objects that no box has. */
function placed(files: Record<string, string>) {
  const here = boxPlace()
  const work = join(here.path, 'workspaces', 'run_test')
  mkdirSync(work, { recursive: true })
  git(work, 'init', '-q')
  write(work, files)
  git(work, 'add', '-A')
  git(work, 'commit', '-q', '-m', 'one', '--allow-empty')
  const start = git(work, 'rev-parse', 'HEAD')
  const own = join(here.path, 'own.git')
  git(here.path, 'clone', '-q', '--bare', work, own)
  const steps: Record<string, PlatformStep> = {
    'playbook.run': playbookRun({
      filesAt: (_run, commit) => filesOfCommit(own, commit),
      checkout: () => ({ own_git: own, mirror: own }),
    }),
    'task.verdict': taskVerdict,
  }
  const attempts = here.open({ platformStep: (action) => Promise.resolve(steps[action]!) })
  return {
    ...{ work, start, own, attempts },
    async run(args: object, action = 'playbook.run', env: Record<string, string> = {}) {
      const planArgs = action === 'playbook.run' ? { start, ...args } : args
      const attempt = await attempts.start(attemptSpec(action, planArgs, { env }), 1)
      const end = await endOf(attempt)
      const tests = attempt.reports.flatMap((each) => (each.type === 'tests' ? [each.tests] : []))
      const phases = attempt.reports.flatMap((each) => (each.type === 'phase' ? [each.message] : []))
      return { ...end, tests, phases, text: await textOf(attempt) }
    },
    async [Symbol.asyncDispose]() {
      await attempts.close()
      here[Symbol.dispose]()
    },
  }
}

const figures = (more: Partial<TestFigures>): Partial<TestFigures> => ({
  passed: 0,
  failed: 0,
  skipped: 0,
  ...more,
})
const junit =
  '<testsuite name="unit"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'

test("the playbook is the one from the start, and not the agent's version", { skip }, async () => {
  const playbook = 'name: p\nsteps:\n  - {name: ok, command: "echo from-start"}\n'
  await using here = placed({ '.errand/playbook.yaml': playbook })
  write(here.work, { '.errand/playbook.yaml': playbook.replace('from-start', 'from-agent') })
  git(here.work, 'commit', '-qam', 'two')
  const { outcome, exports, text } = await here.run({})
  assert.deepEqual([outcome, exports?.PLAYBOOK, exports?.TESTS], ['success', 'p', ''])
  assert.match(text, /from-start/)
  assert.doesNotMatch(text, /from-agent/)
})

test("the hub's playbook is used if the repository has no suitable one, and an event says so", {
  skip,
}, async () => {
  const of = (name: string, skill?: string) => ({
    ...{ name, required_skill: skill },
    steps: [{ name: 'one', command: `echo "${name} \${HOME:+x}"` }],
  })
  const playbooks = [of('any'), of('rusty', 'rust')]
  await using here = placed({ Makefile: 'test:\n' })
  const skilled = await here.run({ skill: 'rust', playbooks })
  assert.match(
    skilled.text,
    /^Playbook "rusty" from the hub, because the task requires the skill "rust"; [\s\S]*rusty x/,
  )
  assert.match(skilled.phases[0]!, /^Playbook "rusty" from the hub/)
  assert.match((await here.run({ playbooks })).text, /^Playbook "any" from the hub; /)
  const broken = await here.run({ playbooks: [{ name: 'x' }] })
  assert.equal(broken.reason, 'task_invalid')
})

test('setup reports what verifies an agent: a snapshot, and the tests that count', { skip }, async () => {
  const steps = [
    { name: 'install', command: 'touch installed', phase: 'setup' },
    { name: 'lint', command: 'lint', condition: 'lint_enabled == true' },
    { name: 'maybe', command: 'maybe', allow_failure: true },
    { name: 'asked', command: 'asked', condition: 'changed("src/**")', env: { A: "it's" } },
    { name: 'unit', command: 'unit ${X}' },
  ]
  await using here = placed({})
  const { outcome, exports } = await here.run({ phase: 'setup', playbook: { name: 'p', steps } })
  assert.equal(outcome, 'success')
  assert.ok(existsSync(join(here.work, 'installed')))
  const output = "export A='it'\\''s'\nasked"
  assert.deepEqual(JSON.parse(exports!.VERIFY!), [SNAPSHOT_COMMAND, output, 'unit ${X}'])
  assert.equal(exports?.TEST_COMMANDS, 'asked\nunit ${X}')
})

test('figures come only from files that a command wrote, not from older ones or through links', {
  skip,
}, async () => {
  await using here = placed({ 'reports/old.xml': junit, 'secret.xml': junit })
  const command =
    'mkdir -p reports; ln -s ../secret.xml reports/link.xml; cp secret.xml reports/new.xml; sleep 0; exit 1'
  const steps = [
    { name: 'unit', command, artifacts: ['reports/*.xml'], fail_fast: false },
    { name: 'more', command: 'echo went on' },
  ]
  const { outcome, reason, message, tests, text } = await here.run({ playbook: { name: 'p', steps } })
  assert.deepEqual([outcome, reason], ['failed', 'test'])
  assert.match(message!, /Playbook "p" failed: "unit" .*Failed: b\./)
  assert.equal(tests.length, 1)
  assert.deepEqual(
    { ...tests[0], failed_names: tests[0]!.failed_names },
    { ...tests[0], ...figures({ passed: 1, failed: 1 }), failed_names: ['b'] },
  )
  assert.match(text, /went on/)
})

test("figures are read from a command's output, which is shown as it comes", { skip }, async () => {
  await using here = placed({})
  const command = 'echo "> npm test"; printf "TAP version 13\\nok 1 - a\\nok 2 - b # SKIP\\n1..2\\n"'
  const { outcome, exports, tests, text } = await here.run({ test_commands: [command] })
  assert.equal(outcome, 'success')
  assert.deepEqual(
    { ...tests[0], failed_names: [] },
    { ...tests[0], ...figures({ passed: 1, skipped: 1 }), failed_names: [] },
  )
  assert.match(exports!.TESTS_TEXT!, /1 passed, 0 failed, 1 skipped/)
  assert.match(text, /ok 1 - a/)
})

test('if nothing defines the tests, the step says so, and nothing has passed', { skip }, async () => {
  await using here = placed({ 'README.md': 'x' })
  const { outcome, exports, tests } = await here.run({})
  assert.deepEqual([outcome, exports?.TESTS, tests], ['success', '', []])
  assert.match(exports!.TESTS_TEXT!, /^Tests: none/)
  const setup = await here.run({ phase: 'setup' })
  assert.deepEqual(JSON.parse(setup.exports!.VERIFY!), [SNAPSHOT_COMMAND])
})

test('a fresh checkout contains only the commit, and is prepared again', { skip }, async () => {
  await using here = placed({ 'a.txt': 'committed' })
  write(here.work, { 'a.txt': 'changed since', 'left-over': 'x' })
  const steps = [
    { name: 'install', command: 'touch installed', phase: 'setup' },
    { name: 'unit', command: 'grep -q committed a.txt && test -e installed && test ! -e left-over' },
  ]
  const playbook = { name: 'p', steps }
  const { outcome, message } = await here.run({ playbook, fresh: here.start })
  assert.deepEqual([outcome, message], ['success', undefined])
  assert.equal((await here.run({ playbook })).reason, 'test')
})

test("a condition sees committed and uncommitted changes, and the task's settings", { skip }, async () => {
  await using here = placed({ 'src/a.ts': '1', 'docs/b.md': '1' })
  const step = (name: string, condition: string) => ({ name, command: `echo ran-${name}`, condition })
  const steps = [
    step('src', 'changed("src/**")'),
    step('docs', 'changed("docs/**")'),
    step('new', 'changed("new/**")'),
    step('meta', 'level > 2 && task.title == "Mend it"'),
    step('missing', 'nothing == true'),
  ]
  write(here.work, { 'src/a.ts': '2' })
  git(here.work, 'commit', '-qam', 'two')
  write(here.work, { 'new/c': '1' })
  const { text } = await here.run({
    playbook: { name: 'p', steps },
    ...{ metadata: { level: 3 }, task: { title: 'Mend it' } },
  })
  assert.deepEqual(
    [...text.matchAll(/^ran-(\w+)$/gm)].map((match) => match[1]),
    ['src', 'new', 'meta'],
  )
})

test('a mistake in a playbook, a failed install and a timeout end with different reasons', {
  skip,
}, async () => {
  await using here = placed({ '.errand/playbook.yaml': 'name: p\nstepz: []\n' })
  const wrong = await here.run({})
  assert.equal(wrong.reason, 'task_invalid')
  assert.match(wrong.message!, /stepz/)
  const one = (step: object) => ({ playbook: { name: 'p', steps: [{ name: 'one', ...step }] } })
  const install = await here.run({ phase: 'setup', ...one({ command: 'exit 3', phase: 'setup' }) })
  assert.equal(install.reason, 'workspace')
  const late = await here.run(one({ command: 'while :; do sleep 0.1; done', timeout_seconds: 0.3 }))
  assert.equal(late.reason, 'test')
  assert.match(late.message!, /"one" \(.*0\.3/)
})

test("the agent's version of its repository is parsed in the box, and gives no way out of it", {
  skip,
}, async () => {
  await using here = placed({ 'a.txt': '1' })
  const outside = join(here.own, 'seen')
  // Any Git that reads the repository would run this.
  git(here.work, 'config', 'core.fsmonitor', `touch ${outside}; false`)
  git(here.work, 'config', 'core.pager', `touch ${outside}`)
  write(here.work, { '.git/hooks/post-checkout': `#!/bin/sh\ntouch ${outside}\n` })
  chmodSync(join(here.work, '.git/hooks/post-checkout'), 0o755)
  execFileSync('mkfifo', [join(here.work, 'pipe.xml')])
  const steps = [{ name: 'unit', command: 'true', condition: 'changed("*")', artifacts: ['**'] }]
  const { outcome } = await here.run({ playbook: { name: 'p', steps }, fresh: here.start })
  assert.equal(outcome, 'success')
  assert.equal(existsSync(outside), false)
  rmSync(join(here.work, '.git'), { recursive: true })
  writeFileSync(join(here.work, '.git'), `gitdir: ${here.own}\n`)
  const refused = await here.run({ playbook: { name: 'p', steps }, fresh: here.start })
  assert.equal(refused.reason, 'workspace')
})

test('a canceled step ends, and nothing is retried', { skip }, async () => {
  await using here = placed({})
  const playbook = {
    name: 'p',
    steps: [{ name: 'one', command: 'echo up; while :; do sleep 0.1; done', retry_count: 3 }],
  }
  const attempt = await here.attempts.start(attemptSpec('playbook.run', { start: here.start, playbook }), 1)
  await until(async () => (await textOf(attempt)).includes('up\n'))
  attempt.cancel(0, 'canceled')
  assert.equal((await endOf(attempt)).outcome, 'canceled')
})

test('files of a commit are read without following links, and a large one only up to the limit', async () => {
  await using here = placed({ 'a.txt': 'x'.repeat(1000), 'dir/b.txt': 'b', ':(glob)*': 'odd' })
  symlinkSync('a.txt', join(here.work, 'link'))
  git(here.work, 'add', '-A')
  git(here.work, 'commit', '-qm', 'two')
  rmSync(here.own, { recursive: true })
  git(here.work, 'clone', '-q', '--bare', here.work, here.own)
  const read = filesOfCommit(here.own, git(here.work, 'rev-parse', 'HEAD'))
  const text = async (path: string, most = 2000) => {
    const bytes = await read(path, most)
    return bytes && Buffer.from(bytes).toString()
  }
  assert.equal(await text('dir/b.txt'), 'b')
  assert.equal(await text(':(glob)*'), 'odd')
  assert.equal((await text('a.txt', 10))?.slice(0, 10), 'xxxxxxxxxx')
  for (const path of ['link', 'dir', 'gone', 'link/x', '../a.txt'])
    assert.equal(await text(path).catch(() => undefined), undefined, path)
  await assert.rejects(() => filesOfCommit(here.own, '0'.repeat(40))('a.txt', 10))
})

test('a verdict ends a try with its reason', async () => {
  await using here = placed({})
  const { outcome, reason, message } = await here.run(
    { reason: 'gave_up', message: 'The agent says: no' },
    'task.verdict',
  )
  assert.deepEqual([outcome, reason], ['failed', 'gave_up'])
  assert.match(message!, /^The agent says: no The work/)
})
