import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { processesOf, writeWorkflow } from '../support/programs.ts'

const root = join(import.meta.dirname, '../..')
const launcher = join(root, 'bin/errand')
const expected = `errand 0.1.0 (Node ${process.version})\n`

/** A Node of this machine that is too old for Errand. */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
  if (!existsSync(path)) return false
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return Number(/^v(\d+)/.exec(stdout)?.[1] ?? 99) < 24
})
const withOldNode = {
  skip: oldNode === undefined && 'no Node older than 24 at /usr/bin/node or /usr/local/bin/node',
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'errand-e2e-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const version = (
  program: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
) => {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: tmpdir(), ...options.env },
    cwd: options.cwd,
  })
  return { status, stdout, stderr }
}

test('errand runs on the pinned Node from any folder, by any path', (t) => {
  const elsewhere = folder(t)
  for (const [program, cwd] of [
    [launcher, elsewhere],
    ['bin/errand', root],
    ['./errand', join(root, 'bin')],
    ['../bin/errand', join(root, 'test')],
  ] as const)
    assert.deepEqual(
      version(program, ['version'], { cwd }),
      { status: 0, stdout: expected, stderr: '' },
      program,
    )
  // The pinned node is used, so none is needed on the PATH.
  const bare = version(launcher, ['version'], { env: { PATH: '/nowhere' } })
  assert.deepEqual(bare, { status: 0, stdout: expected, stderr: '' })
})

test('errand runs through links, also links to links and ones with spaces in their names', (t) => {
  const here = folder(t)
  mkdirSync(join(here, 'a b'))
  const one = join(here, 'a b/one link')
  const two = join(here, 'two')
  symlinkSync(launcher, one)
  symlinkSync('a b/one link', two)
  symlinkSync(root, join(here, 'checkout'))
  for (const link of [one, two, join(here, 'checkout/bin/errand')])
    assert.deepEqual(version(link, ['version']), { status: 0, stdout: expected, stderr: '' }, link)
  const found = version('two', ['version'], { env: { PATH: `${here}:/usr/bin:/bin` } })
  assert.deepEqual(found, { status: 0, stdout: expected, stderr: '' })
})

test('started by a Node that is too old, errand continues with the pinned one', withOldNode, (t) => {
  const here = folder(t)
  assert.deepEqual(version(oldNode!, [launcher, 'version'], { cwd: here }), {
    status: 0,
    stdout: expected,
    stderr: '',
  })
  const link = join(here, 'errand')
  symlinkSync(launcher, link)
  assert.deepEqual(version(oldNode!, [link, 'version']), { status: 0, stdout: expected, stderr: '' })
  const file = writeWorkflow(join(here, 'flow.yaml'), [{ name: 'one', cmd: 'exit 3' }])
  assert.equal(version(oldNode!, [launcher, 'run', file]).status, 1, 'its exit code is passed on')
})

test(
  'started by a Node that is too old, errand still reacts to Ctrl-C and leaves nothing',
  withOldNode,
  async (t) => {
    const errand = errandCommand(t)
    const mark = `98765.${randomInt(10 ** 9, 10 ** 10)}`
    const file = writeWorkflow(join(errand.home, 'flow.yaml'), [
      { name: 'one', cmd: `echo begun; sleep ${mark}` },
    ])
    // The command uses the first node that it finds.
    const shim = join(errand.home, 'shim')
    writeFileSync(shim, `#!/bin/sh\nexec "${oldNode}" "${launcher}" "$@"\n`, { mode: 0o755 })
    const child = spawn(shim, ['run', file], { env: errand.env, stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      printed += text
    })
    const closed = once(child, 'close')
    await eventually('the step', () => printed.includes('local | begun'))
    child.kill('SIGINT')
    const [code] = await closed
    assert.equal(code, 3, printed)
    assert.deepEqual(processesOf(mark), [])
  },
)

test('without its own Node errand says which version it needs and how to get it', withOldNode, (t) => {
  const here = folder(t)
  mkdirSync(join(here, 'bin'))
  copyFileSync(launcher, join(here, 'bin/errand'))
  for (const [program, args, env] of [
    [oldNode!, [join(here, 'bin/errand')], {}],
    [join(here, 'bin/errand'), [], { PATH: join(oldNode!, '..') }],
    [join(here, 'bin/errand'), [], { PATH: '/nowhere' }],
  ] as const) {
    const { status, stdout, stderr } = version(program, [...args, 'version'], { env })
    assert.equal(status, 70, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, /needs Node 24 or newer/)
    assert.match(stderr, /hint: run "npm (ci|install)" in /)
  }
})
