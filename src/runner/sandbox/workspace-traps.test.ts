import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { processesOf } from '../../../test/support/programs.ts'
import { attemptSpec, command, endOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { type BoxPlace, boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { Baseline } from '../sessions/changed-files.ts'
import { Verifier } from '../sessions/verifier.ts'

/** Traps that a step leaves in its workspace for the runner, which comes after it. */

const skip = sandboxMissing()

async function run(here: BoxPlace, ...specs: AttemptSpec[]) {
  const attempts = here.open({ outputDir: here.path })
  const ends = []
  for (const spec of specs) ends.push(await endOf(await attempts.start(spec, 1)))
  await attempts.close()
  return ends
}

test('file.write of a boxed step follows no link out, and writes only in the workspace', {
  skip,
}, async () => {
  using here = boxPlace()
  const outside = join(here.path, 'outside')
  mkdirSync(outside)
  const write = (path: string) => attemptSpec('file.write', { path, content: 'taken over', mode: '0644' })
  const [, ...ends] = await run(
    here,
    command(`ln -s ${outside} folder; ln -s ${outside}/file file; mkfifo pipe`),
    write('folder/file'),
    write('file'),
    write('pipe'),
    write(join(outside, 'file')),
    write('own/file'),
  )
  const outcomes = ends.map(({ outcome, reason, message }) => [outcome, reason, message?.replace(/.*: /, '')])
  const hint = 'Write inside the workspace of the run, and not through a link.'
  assert.deepEqual(outcomes, [
    ['failed', 'invalid_argument', `a link or a file is on the way. ${hint}`],
    ['failed', 'invalid_argument', `it is a link. ${hint}`],
    ['failed', 'invalid_argument', `it is not a file. ${hint}`],
    ['failed', 'invalid_argument', `it is not below ${here.path}/workspaces/run_test. ${hint}`],
    ['success', undefined, undefined],
  ])
  assert.deepEqual(readdirSync(outside), [])
  assert.equal(readFileSync(join(here.path, 'workspaces/run_test/own/file'), 'utf8'), 'taken over')
})

test('the output file of a boxed step follows no link, and is a copy that changes nothing', {
  skip,
}, async () => {
  using here = boxPlace()
  const outside = join(here.path, 'outside')
  mkdirSync(outside)
  const below = (name: string) => `workspaces/run_test/${name}`
  const echo = (cmd: string, output_path: string) => command(`${cmd}; echo said`, { args: { output_path } })
  const [linked, plain, elsewhere] = await run(
    here,
    echo(`ln -s ${outside} out`, below('out')),
    echo('true', below('real')),
    echo('true', 'outside'),
  )
  assert.deepEqual([linked!.outcome, linked!.reason], ['failed', 'output_failed'])
  assert.match(linked!.message!, /could not be written to .*\/out: a link or a file is on the way\.$/)
  assert.equal(plain!.outcome, 'success')
  const file = plain!.output_files!.stdout!
  assert.ok(file.startsWith(join(here.path, below('real'))), file)
  assert.equal(readFileSync(file, 'utf8'), 'said\n')
  assert.equal(statSync(file).nlink, 1)
  assert.equal(elsewhere!.outcome, 'success')
  assert.deepEqual(readdirSync(outside).length, 2)
})

test('http.request does not bypass the network of a boxed step', { skip }, async () => {
  using here = boxPlace()
  const [end] = await run(here, attemptSpec('http.request', { url: 'http://127.0.0.1:1/' }))
  assert.deepEqual([end!.outcome, end!.reason], ['failed', 'invalid_argument'])
  assert.match(end!.message!, /^http\.request is sent by the runner itself, so a step/)
})

test('without boxes, an action of a step that asks for one still stays in the workspace', async () => {
  using here = boxPlace()
  const attempts = here.open({ boxes: undefined })
  const spec = attemptSpec(
    'file.write',
    { path: '/tmp/no', content: '', mode: '0644' },
    { isolation: 'sandbox' },
  )
  assert.equal((await endOf(await attempts.start(spec, 1))).reason, 'invalid_argument')
  await attempts.close()
})

const git = (cwd: string, ...args: string[]) => {
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
  const { status, stderr } = spawnSync('git', [...identity, ...args], { cwd, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

test('a repository that makes git run its own programs has them run in a box', { skip }, async () => {
  using here = boxPlace()
  const repository = here.workspace
  git(repository, 'init', '-q')
  writeFileSync(join(repository, 'a'), 'one\n')
  writeFileSync(join(repository, 'b'), 'one\n')
  git(repository, 'add', '.')
  git(repository, 'commit', '-qm', 'first')
  const box = here.box()
  await box.prepare()
  const baseline = new Baseline(join(here.path, 'baseline'), { PATH: process.env.PATH }, box)
  await baseline.take(repository)
  const proof = join(here.path, 'proof')
  const program = join(repository, 'evil.sh')
  const mark = `hidden-${process.pid}-${Date.now()}`
  const hides = `env -i /usr/bin/setsid -f /bin/sh -c "while :; do sleep 0.1; done # ${mark}" <&- >&- 2>&-`
  writeFileSync(
    program,
    `#!/bin/sh\n${hides}\necho ran >>${proof}; echo ran >>${repository}/wrote; echo ran >/tmp/there; cat`,
  )
  chmodSync(program, 0o755)
  // Both would run outside, with the rights of the runner.
  git(repository, 'config', 'filter.evil.clean', program)
  git(repository, 'config', 'core.fsmonitor', program)
  writeFileSync(join(repository, '.gitattributes'), 'a filter=evil\n')
  writeFileSync(join(repository, 'a'), 'two\n')
  assert.deepEqual(await baseline.changed([]), ['.gitattributes', 'a', 'evil.sh'])
  assert.equal(existsSync(proof), false)
  assert.equal(existsSync(join(repository, 'wrote')), false)
  assert.deepEqual(processesOf(mark), [])
  // The trap works: without a box it runs here.
  const bare = new Baseline(join(here.path, 'bare'), { PATH: process.env.PATH })
  await bare.take(repository)
  await until(() => existsSync(proof))
  for (const pid of processesOf(mark)) process.kill(pid, 'SIGKILL')
})

test('a repository in a parent folder is visible as a whole, but read-only', { skip }, async () => {
  using here = boxPlace()
  const below = join(here.workspace, 'deep/er')
  mkdirSync(below, { recursive: true })
  git(here.workspace, 'init', '-q')
  writeFileSync(join(below, 'a'), '')
  const box = here.box()
  await box.prepare()
  const baseline = new Baseline(join(here.path, 'baseline'), { PATH: process.env.PATH }, box)
  await baseline.take(below)
  writeFileSync(join(below, 'b'), '')
  writeFileSync(join(here.workspace, 'above'), '')
  assert.deepEqual(await baseline.changed(['/told']), ['/told', 'b'])
})

test('a verify command of a boxed session has the same access as the session', { skip }, async () => {
  using here = boxPlace()
  writeFileSync(join(here.path, 'outside'), 'held back')
  const box = here.box()
  await box.prepare()
  const results: { passed: boolean; output: string }[] = []
  const verifier = new Verifier({
    env: { PATH: process.env.PATH },
    attemptKey: `key-${process.pid}-${Date.now()}`,
    enclose: (launch, name) => box.enclose(launch, { writable: [here.workspace], readable: [] }, name),
    onResult: (result) => void results.push(result),
  })
  void verifier.run({ command: `cat ${here.path}/outside; echo ok >made`, number: 1 }, here.workspace)
  await until(() => results.length === 1)
  assert.match(results[0]!.output, /outside: No such file or directory/)
  assert.equal(readFileSync(join(here.workspace, 'made'), 'utf8'), 'ok\n')
  void verifier.run({ command: 'exit 3', number: 2 }, here.workspace)
  await until(() => results.length === 2)
  assert.deepEqual([results[1]!.passed, results[1]!.output], [false, ''])
  void verifier.run({ command: 'true', number: 3 }, join(here.path, 'nowhere'))
  await until(() => results.length === 3)
  assert.equal(results[2]!.passed, false)
  assert.equal(await box.end(), true)
})
