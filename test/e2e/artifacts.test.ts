import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { startPrograms } from '../support/programs.ts'

const storing = (script: string, globs: string[]) =>
  JSON.stringify({
    version: 'v0.1',
    name: 'keeps',
    steps: [{ name: 'build', action: 'shell.run', args: { script }, artifacts: globs }],
  })

test('files of a failed step are stored once, though hub and runner are killed while it ends', async (t) => {
  const programs = await startPrograms(t)
  const { client, home } = programs
  const [go, wrote] = [join(home, 'go'), join(home, 'wrote')]
  const script = `mkdir out; echo '<a/>' > out/a.xml; echo '<b/>' > out/b.xml; ln -s /etc/passwd out/c.xml
    touch ${wrote}; until [ -e ${go} ]; do sleep 0.05; done; exit 3`
  await client.runs.create({ run_id: 'kept', yaml: storing(script, ['out/*.xml']) })
  await eventually('the files', () => existsSync(wrote))
  await programs.kill('hub')
  writeFileSync(go, '')
  const folder = join(programs.runnerFolder, 'attempts', 'kept.1')
  await eventually('the files on the runner', () => existsSync(join(folder, 'artifacts', '1')))
  await programs.kill('runner')
  await programs.startRunner()
  await programs.startHub()
  const run = await programs.ended('kept')
  assert.deepEqual([run.status, run.steps[0]!.instances[0]!.reason], ['failed', 'exit_code'])
  const { artifacts } = await client.runs.artifacts('kept')
  assert.deepEqual(
    artifacts.map(({ artifact_id, name, bytes }) => [artifact_id, name, bytes]),
    [
      ['1.1', 'out/a.xml', 5],
      ['1.2', 'out/b.xml', 5],
    ],
  )

  const listed = await programs.call('runs', 'artifacts', 'kept')
  assert.match(listed.stdout, /1\.1 +file +out\/a\.xml +5 bytes +build +[0-9a-f]{12}\n/)
  const one = join(home, 'one.xml')
  await programs.call('runs', 'artifacts', 'kept', 'out/b.xml', '-o', one)
  assert.equal(readFileSync(one, 'utf8'), '<b/>\n')
  assert.equal((await programs.call('runs', 'artifacts', 'kept', '1.1')).stdout, '<a/>\n')
  const all = join(home, 'all')
  await programs.call('runs', 'artifacts', 'kept', '--all', all)
  assert.deepEqual(readdirSync(join(all, 'out')).sort(), ['a.xml', 'b.xml'])
  const logs = await programs.call('runs', 'logs', 'kept')
  assert.match(logs.stdout, /stored out\/a\.xml \(5 bytes\)/)
  assert.match(logs.stdout, /out\/c\.xml was not stored: it is a link/)
  assert.match((await programs.call('runs', 'diff', 'kept')).stderr, /has no diff/)
  await client.runs.delete('kept')
  const left = readdirSync(join(programs.data, 'artifacts'), { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    left.filter((name) => name.includes('kept')),
    [],
  )
})

test("a later step on another runner has an earlier step's files, and says what is missing", async (t) => {
  const programs = await startPrograms(t)
  const { client } = programs
  const token = readFileSync(join(programs.data, 'runner-token'), 'utf8').trim()
  const other = programs.errand.start(
    ['runner', '--id', 'other', '--workspace', join(programs.home, 'other')],
    {
      env: { ERRAND_HUB_URL: programs.url, ERRAND_TOKEN: token },
    },
  )
  await other.until('Connected to the hub')
  const step = (name: string, target: string, script: string, more: object) => ({
    ...{ name, targets: [target], action: 'shell.run', args: { script } },
    ...more,
  })
  const steps = (file: string) => [
    step('build', 'one', 'mkdir dist; echo made > dist/app; echo note > dist/note.txt', {
      artifacts: ['dist/**'],
    }),
    step('ship', 'two', 'cat bin/app notes/dist/note.txt; ls', {
      needs_files: [
        { step: 'build', name: file, to: 'bin/app' },
        { step: 'build', glob: '**/*.txt', to: 'notes' },
      ],
    }),
  ]
  const workflow = (file: string) => ({
    version: 'v0.1',
    name: 'ships',
    inventory: { hosts: { one: { runner: 'apart' }, two: { runner: 'other' } } },
    steps: steps(file),
  })
  const run = async (run_id: string, file: string) => {
    await client.runs.create({ run_id, workflow: workflow(file) })
    return await programs.ended(run_id)
  }
  const good = await run('ships', 'dist/app')
  assert.equal(good.status, 'success', JSON.stringify(good))
  const output = await programs.call('runs', 'logs', 'ships', '--attempt', '2')
  assert.equal(output.stdout, 'made\nnote\nbin\nnotes\n')
  const bad = await run('lacks', 'dist/other')
  const { reason, message } = bad.steps[1]!.instances[0]!
  assert.equal(reason, 'invalid_argument')
  assert.match(message!, /Step "build" saved no file dist\/other/)
})

test("a run without a hub stores its files in the user's folder", async (t) => {
  const errand = errandCommand(t)
  const work = join(errand.home, 'work')
  mkdirSync(work)
  const file = join(errand.home, 'keeps.yaml')
  writeFileSync(file, storing('mkdir -p out; echo done > out/result.txt', ['out/**']))
  const { code, stdout } = await errand.run(['run', file, '--run-id', 'here'], { cwd: work })
  assert.equal(code, 0)
  assert.match(stdout, /stored out\/result\.txt \(5 bytes\)/)
  const folder = join(errand.home, '.errand/local/artifacts/here')
  assert.equal(readFileSync(join(folder, '1/out/result.txt'), 'utf8'), 'done\n')

  const runs = (...args: string[]) => errand.run(['runs', ...args], { cwd: work })
  const listed = await runs('artifacts', 'here')
  assert.match(listed.stdout, /^1\.1 +file +out\/result\.txt +5 bytes +build/m)
  assert.equal((await runs('artifacts', 'here', 'out/result.txt')).stdout, 'done\n')
  await runs('artifacts', 'here', '--all', 'all')
  assert.equal(readFileSync(join(work, 'all/out/result.txt'), 'utf8'), 'done\n')
  assert.match((await runs('diff', 'here')).stderr, /"here" has stored no diff/)
  // For other artifacts, or with `--url`, the command calls a hub, and there is none.
  for (const args of [['other'], ['here', '--url', 'http://127.0.0.1:1'], ['../here']])
    assert.doesNotMatch((await runs('artifacts', ...args)).stdout, /result/)
  // Nothing is written for a file that has changed since.
  writeFileSync(join(folder, '1/out/result.txt'), 'else\n')
  const damaged = await runs('artifacts', 'here', 'out/result.txt', '-o', 'one')
  assert.match(damaged.stderr, /differ from those that the run stored/)
  assert.ok(!existsSync(join(work, 'one')))
})
